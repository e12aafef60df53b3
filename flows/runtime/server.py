"""Prefect's server: the user's own where there is one, else one that lives as long as the run.

Prefect's own temporary server outlives a parent that is killed. This one watches its parent and
ends with it, however the parent ends. It keeps its history under `state_folder()`; to look at it:
`PREFECT_HOME=~/.local/state/pet/prefect prefect server start`.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

START_SECONDS = 180.0  # migrations of a fresh database on a slow disk are the longest part
STOP_SECONDS = 5.0
RESTARTS = 3

SERVER_SETTINGS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # One by one, as is the default, several hundred short jobs are still unrecorded at the end.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "500",
    # Whole seconds: Prefect cuts fractions off, and a wait of zero keeps a core busy.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_UI_ENABLED": "0",
    # Pages that the user's browser shows may ask this machine, too: none may read an answer.
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",  # into our log: why it does not start
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


def prepare(console_level: str = "CRITICAL") -> None:
    """Set what Prefect reads from the environment, as far as the user has not.

    For programs' entry points only, before anything imports Prefect.
    """
    settings = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": console_level,
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "pet",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    if not (Path.home() / ".prefect").exists():
        # Importing Prefect creates its home: there, it shall not.
        settings["PREFECT_HOME"] = str(state_folder())
        with contextlib.suppress(OSError):
            state_folder().mkdir(parents=True, exist_ok=True)
    for name, value in settings.items():
        os.environ.setdefault(name, value)


def state_folder() -> Path:
    """Return where our own server keeps its history."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "pet" / "prefect"


class OwnServer:
    """A Prefect server in a process of its own that never outlives this one."""

    def __init__(self, home: Path):
        self.home = home
        self.log = home / "server.log"
        try:
            home.mkdir(parents=True, exist_ok=True)
            self.log.touch()
            for path in home.glob("prefect.db*"):  # texts and paths stand in it
                path.chmod(0o600)
        except OSError as error:
            from pet.errors import PetError, Problem

            fix = "set PREFECT_HOME to one, or run it without Prefect: --plain"
            raise PetError(
                Problem(str(home), "a folder for Prefect's history", str(error.strerror), fix)
            ) from error
        self.secret = f"pet:{secrets.token_urlsafe(24)}"
        # The server takes over the socket, so the port cannot be lost to another program.
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._over, self._changing = threading.Event(), threading.Lock()
        self._process = self._start()
        atexit.register(self.stop)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def _start(self) -> subprocess.Popen[bytes]:
        descriptor = self._socket.fileno()
        with self.log.open("wb") as log:
            return subprocess.Popen(  # noqa: S603
                # -P: this file's folder must not shadow anything for the server.
                [sys.executable, "-P", __file__, str(descriptor), str(os.getpid())],
                env={
                    **os.environ,
                    **SERVER_SETTINGS,
                    "PREFECT_HOME": str(self.home),
                    "PREFECT_API_AUTH_STRING": self.secret,
                    "PREFECT_SERVER_API_AUTH_STRING": self.secret,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(descriptor,),
                start_new_session=True,  # Ctrl-C is for the run; the server ends after it
            )

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Wait until the server answers.

        Raises:
            PetError: it ended, or it does not answer in time.
        """
        deadline = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                threading.Thread(target=self._revive, daemon=True).start()
                return
        from pet.errors import PetError, Problem

        status = self._process.poll()
        self.stop()
        how = "no answer" if status is None else f"exit status {status}"
        raise PetError(
            Problem(
                "Prefect",
                "a server that starts",
                f"{_cause(self.log) or 'nothing'} ({how})",
                f"see {self.log}, or run it without Prefect: --plain",
            )
        )

    def _revive(self) -> None:
        """Start the server again should it die: without one, a run takes minutes to give up."""
        for _ in range(RESTARTS):
            while self._process.poll() is None:
                if self._over.wait(0.5):
                    return
            with self._changing:
                if self._over.is_set():
                    return
                self._process = self._start()
        # Nobody serves the socket any more: a call to it shall fail, not wait.
        self._socket.close()

    def _answers(self) -> bool:
        # A connection waits until the server is up: the socket listens already.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """End the server; safe to call twice."""
        atexit.unregister(self.stop)
        with self._changing:
            self._over.set()
        self._socket.close()
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


ERROR = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt)\b.*")


def _cause(log: Path) -> str:
    """Return the error that a server's log ends with, or its last line."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    errors = [line for line in lines if ERROR.fullmatch(line)]
    return next(iter(errors[-1:] or [line for line in lines if line][-1:]), "")


@contextlib.contextmanager
def connected(meanwhile: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Give Prefect a server for as long as the block runs.

    Args:
        meanwhile: what to do while our own server starts.

    Raises:
        PetError: there is none: the user's does not answer, or ours does not start.
    """
    from prefect.settings import (
        get_current_settings,
        temporary_settings,
    )

    if url := get_current_settings().api.url:
        meanwhile()
        check_reachable(url)
        yield
        return
    server = OwnServer(Path(os.environ.get("PREFECT_HOME") or state_folder()))
    try:
        meanwhile()
        server.wait()
        settings = {
            "api.url": server.url,
            "api.auth_string": server.secret,
            "home": server.home,
            # Nobody watches for heartbeats here, and their thread delays a flow's end by a second.
            "flows.heartbeat_frequency": None,
        }
        with temporary_settings(settings):
            try:
                yield
            finally:
                _drain()
    finally:
        server.stop()


def check_reachable(url: str) -> None:
    """Ask the user's server for an answer.

    Raises:
        InputError: there is none.
    """
    from prefect.client.orchestration import get_client

    from pet.errors import InputError, Problem
    from pet.storage.locations import public

    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error is not None:
        found = str(error).replace(url, public(url)) or type(error).__name__
        raise InputError(
            Problem(
                "PREFECT_API_URL",
                f"a Prefect server at {public(url)}",
                found,
                "start it, unset PREFECT_API_URL, or run without Prefect: --plain",
            )
        )


def _drain() -> None:
    """Wait until this process's events and logs have been sent."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=STOP_SECONDS, at_exit=True)


def _serve(descriptor: int, parent: int) -> None:
    """Serve on an inherited socket until asked to stop, or until `parent` is gone."""
    # The parent may be gone before this line: it is then not our parent any more.
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.umask(0o077)  # of the database
    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _end_with(parent: int) -> None:
    """End this process soon after its parent. When that dies, the kernel gives us another."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
