"""Our own Prefect server ends with the process that started it."""

from __future__ import annotations

import base64
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flows.runtime import server
from pet.errors import PetError

RUN = """
import sys, time
from pathlib import Path
from flows.runtime.server import OwnServer
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


LOCKED = """
Traceback (most recent call last):
  File "core.py", line 63, in _connection_worker_thread
sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked
[SQL: BEGIN IMMEDIATE]

11:45:25.399 | ERROR   | uvicorn.error - Application startup failed. Exiting.
"""


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (LOCKED, "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked"),
        ("one\n\nport in use\n", "port in use"),
        ("", "nothing"),
    ],
)
def test_a_server_that_does_not_start_is_an_error_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, found: str
) -> None:
    """The last line says that it failed; why, stands above it."""
    script = "import sys; sys.stderr.write(sys.argv[1]); sys.exit(3)"

    def fail(self: server.OwnServer) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as stream:
            return subprocess.Popen([sys.executable, "-c", script, log], stderr=stream)

    monkeypatch.setattr(server.OwnServer, "_start", fail)
    with pytest.raises(PetError, match=r"\(exit status 3\)") as caught:
        server.OwnServer(tmp_path).wait()
    assert f"  found:    {found} (exit" in str(caught.value)
    assert "run it without Prefect: --plain" in str(caught.value)


def test_a_server_that_dies_again_and_again_leaves_no_call_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket listens in the run itself: with nobody behind it, calls would wait for minutes."""
    starts = []

    def start(self: server.OwnServer) -> subprocess.Popen[bytes]:
        starts.append(self.port)
        return subprocess.Popen([sys.executable, "-c", ""])

    monkeypatch.setattr(server.OwnServer, "_start", start)
    own = server.OwnServer(tmp_path)
    socket.create_connection(("127.0.0.1", own.port), timeout=5).close()
    own._revive()
    assert len(starts) == 1 + server.RESTARTS
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", own.port), timeout=5)
    own.stop()


@pytest.mark.faults
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


@pytest.mark.faults
@pytest.mark.prefect
def test_our_own_server_answers_nobody_without_its_secret(tmp_path: Path) -> None:
    """Any other user of the machine, and any page in the user's browser, could ask it."""
    own = server.OwnServer(tmp_path / "home")
    try:
        own.wait()
        headers = {"Origin": "http://pages.example"}
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(own.url, headers)
        assert caught.value.code == 401
        caught.value.close()
        assert "*" not in str(caught.value.headers.get("Access-Control-Allow-Origin"))
        secret = base64.b64encode(own.secret.encode()).decode()
        answer = ask(own.url, {**headers, "Authorization": f"Basic {secret}"})
        assert answer.status == 200
        assert answer.headers.get("Access-Control-Allow-Origin") is None
        database = tmp_path / "home" / "prefect.db"
        assert stat.S_IMODE(database.stat().st_mode) == 0o600
    finally:
        own.stop()


def ask(url: str, headers: dict[str, str]) -> Any:
    request = urllib.request.Request(f"{url}/admin/version", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer
