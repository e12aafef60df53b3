"""The page's rows, a client that needs no server, and a server in a thread of this process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.review_page.guard import Secrets
from tests.support import reviews
from tests.support.reviews import Served, write_texts

PORT = 8000  # of the client that needs no server

Serving = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "r.jsonl", [f"text {n}" for n in range(4)])


@dataclass
class Client:
    """Asks as the page does."""

    http: TestClient
    secrets: Secrets

    def ask(self, name: str, **more: object) -> dict[str, object]:
        done = self.http.post(f"/api/{name}", json=more)
        assert done.status_code == 200, done.text
        return dict(done.json())


def client_of(path: Path, *, several: bool = False) -> Client:
    own = Secrets()
    address = f"http://127.0.0.1:{PORT}"
    app = reviews.app_of(reviews.session_of(path, several=several), own, PORT)
    http = TestClient(app, address, raise_server_exceptions=False)
    http.headers.update({"origin": address, "authorization": f"Bearer {own.token}"})
    return Client(http, own)


@pytest.fixture
def client(rows: Path) -> Client:
    return client_of(rows)


@pytest.fixture
def serving() -> Serving:
    """Serve a file of rows within a block: `serving(path, labels, fields)`."""
    return lambda *words, **more: reviews.serving(reviews.session_of(*words, **more))
