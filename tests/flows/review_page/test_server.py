"""The server: on this machine alone, on a port that is free, until the review is over."""

from __future__ import annotations

import contextlib
import http.client
import socket
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

from flows.review_page.server import bind, open_browser, serve
from pet.errors import InputError, PetError
from tests.flows.review_page.conftest import Serving


def test_it_answers_on_the_loopback_address_alone(rows: Path, serving: Serving) -> None:
    with serving(rows) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port)
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.status == 200
        assert response.getheader("server") is None
        assert b"Who are you?" in response.read()
        connection.close()
        others: set[str] = set()
        with contextlib.suppress(socket.gaierror):  # a machine without a name in any list
            others |= {str(own[4][0]) for own in socket.getaddrinfo(socket.gethostname(), None)}
        for address in others - {"127.0.0.1"}:
            with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
                socket.create_connection((address, served.port), timeout=2)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port))


def test_a_port_in_use_is_reported_with_what_to_do() -> None:
    with bind(0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InputError, match="a free one is found"):
            bind(port)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_number_that_is_no_port_is_reported(port: int) -> None:
    with pytest.raises(InputError, match="--port"):
        bind(port)


def test_a_server_that_ends_by_itself_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    with bind(0) as listener, pytest.raises(PetError, match="goes on"):
        serve(PlainTextResponse("hello"), listener, lambda: False)


def test_without_a_screen_no_browser_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", None)
    assert open_browser("http://127.0.0.1:1/") is False


def test_a_browser_that_cannot_be_started_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(address: str) -> bool:
        raise OSError("none")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", fail)
    assert open_browser("http://127.0.0.1:1/") is False
