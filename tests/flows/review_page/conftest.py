"""A server of the page in a thread of this process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.review_page.app import ReviewApp
from flows.review_page.guard import Guard, Secrets
from flows.review_page.server import bind, serve
from tests.support.reviews import LABELS, session_of, write_texts

Names = tuple[str, ...]

PORT = 8000  # of the client that needs no server


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "r.jsonl", [f"text {n}" for n in range(4)])


def app_of(
    path: Path, own: Secrets, port: int, labels: Names = LABELS, fields: Names = ("text",)
) -> Guard:
    session = session_of(path, labels, fields)
    return Guard(ReviewApp(session, own, "What?", True, lambda: ["closed"]).app(), own, port)


@dataclass
class Client:
    """Asks as the page does."""

    http: TestClient
    secrets: Secrets

    def ask(self, name: str, **more: object) -> dict[str, object]:
        done = self.http.post(f"/api/{name}", json=more)
        assert done.status_code == 200, done.text
        return dict(done.json())


def client_of(path: Path) -> Client:
    own = Secrets()
    address = f"http://127.0.0.1:{PORT}"
    http = TestClient(app_of(path, own, PORT), address, raise_server_exceptions=False)
    http.headers.update({"origin": address, "authorization": f"Bearer {own.token}"})
    return Client(http, own)


@pytest.fixture
def client(rows: Path) -> Client:
    return client_of(rows)


@dataclass
class Served:
    """A page that is being served."""

    port: int
    secrets: Secrets

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/#{self.secrets.token}"


@contextlib.contextmanager
def _serving(path: Path, *names: Names) -> Iterator[Served]:
    own, over = Secrets(), threading.Event()
    with bind(0) as listener:
        port = listener.getsockname()[1]
        app = app_of(path, own, port, *names)
        thread = threading.Thread(target=serve, args=(app, listener, over.is_set))
        thread.start()
        try:
            yield Served(port, own)
        finally:
            over.set()
            thread.join()


Serving = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def serving() -> Serving:
    """Serve a file of rows within a block: `serving(path, labels, fields)`."""
    return _serving
