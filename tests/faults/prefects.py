"""Prefect's own faults: a server that dies midway, a database that somebody keeps locked."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from flows.runtime import server
from tests.faults.disturbance import compare
from tests.faults.runs import LONGEST, Run, Undisturbed


def kill_the_server(folder: Path, whole: Undisturbed) -> None:
    """Kill the server of a run in its middle; the run goes on with another one.

    Raises:
        AssertionError: the run failed, or differs.
    """
    run = Run(folder, plain=False)
    process = run.start()
    deadline = time.monotonic() + LONGEST
    while "zero-shot" not in run.stages():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.01)
    os.kill(server_of(process), signal.SIGKILL)
    _, said = process.communicate(timeout=LONGEST)
    assert process.returncode == 0, said
    compare(run, whole)


def server_of(process: subprocess.Popen[str]) -> int:
    """Return the process number of the Prefect server that a run has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    servers = [
        int(child) for child in children if os.fsencode(server.__file__) in command_of(child)
    ]
    assert len(servers) == 1, f"no server, or several: {servers}"
    return servers[0]


def command_of(process: str) -> bytes:
    """Return the command line of a process; nothing where it has ended meanwhile."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def lock_the_database(folder: Path, whole: Undisturbed) -> None:
    """Start a run while somebody keeps Prefect's database locked, and again when it is free.

    Prefect waits for a minute. Then the run ends, says why, and has touched nothing.

    Raises:
        AssertionError: it says something else, or the second run differs.
    """
    run = Run(folder, plain=False)
    home = run.folder / "state" / "pet" / "prefect"
    home.mkdir(parents=True)
    with closing(sqlite3.connect(home / "prefect.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE theirs (x)")
        database.execute("BEGIN EXCLUSIVE")
        process = run.start()
        _, said = process.communicate(timeout=LONGEST)
    assert process.returncode == 1, said
    assert "expected: a server that starts" in said, said
    assert "database is locked" in said, said
    assert "--plain" in said, said
    assert not run.out.exists()
    run.finish()
    compare(run, whole)
