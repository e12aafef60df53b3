"""Our own Prefect server ends with the process that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import server

RUN = """
import sys, time
from pathlib import Path
from flows.server import OwnServer
server = OwnServer(Path(sys.argv[1]))
server.wait()
print(server.port, flush=True)
time.sleep(300)
"""


def test_prepare_leaves_what_the_user_has_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path), "DO_NOT_TRACK": "0"})
    server.prepare()
    assert os.environ["DO_NOT_TRACK"] == "0"
    assert os.environ["PREFECT_HOME"] == str(tmp_path / ".local/state/pet/prefect")
    assert not (tmp_path / ".prefect").exists()


def test_prepare_leaves_a_prefect_home_that_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".prefect").mkdir()
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)})
    server.prepare()
    assert "PREFECT_HOME" not in os.environ


@pytest.mark.prefect
def test_no_server_outlives_a_killed_run(tmp_path: Path) -> None:
    """Without a watch the server would hold its port and the database for ever."""
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        port = int(run.stdout.readline())
        socket.create_connection(("127.0.0.1", port)).close()
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.2)
    pytest.fail(f"something still listens on port {port}")
