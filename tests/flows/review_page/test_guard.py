"""Who gets an answer: only the page itself, and only with the token."""

from __future__ import annotations

import pytest

from flows.review_page.guard import HEADERS, Secrets
from tests.flows.review_page.conftest import PORT, Client

EVERY = ["review", "row", "answer", "undo", "finish"]
OWN = f"http://127.0.0.1:{PORT}"


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer wrong", "Bearer \u00e9"])
def test_without_the_token_nothing_is_answered(client: Client, name: str, token: str) -> None:
    headers = {"authorization": token.encode("latin-1")}
    found = client.http.post(f"/api/{name}", json={"annotator": "Ann"}, headers=headers)
    assert found.status_code == 403
    assert list(found.json()) == ["error"]


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/row", "/api/enter", "/nothing"])
@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"127.1:{PORT}", ""],
)
def test_a_name_that_was_rebound_to_this_machine_gets_nothing(
    client: Client, path: str, host: str
) -> None:
    for method in ("GET", "POST"):
        found = client.http.request(method, path, headers={"host": host})
        assert found.status_code == 403
        assert "text" not in found.text


@pytest.mark.parametrize("name", [*EVERY, "enter"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", None])
def test_another_page_changes_nothing(client: Client, name: str, origin: str | None) -> None:
    """A page on another port of this machine is of the same site, but not of the same origin."""
    if origin is None:
        del client.http.headers["origin"]
    else:
        client.http.headers["origin"] = origin
    body = {"annotator": "Ann", "place": 0, "label": "sport", "secret": client.secrets.token}
    assert client.http.post(f"/api/{name}", json=body).status_code == 403
    client.http.headers["origin"] = OWN
    assert client.ask("review", annotator="")["people"] == []


def test_the_page_is_sent_without_the_token_and_holds_no_text(client: Client) -> None:
    for path in ("/", "/page.css", "/page.js"):
        found = client.http.get(path, headers={"authorization": ""})
        assert found.status_code == 200
        assert "text 0" not in found.text
        assert client.secrets.token not in found.text


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/row", "/no/such/page"])
def test_every_response_carries_the_headers_of_safety(client: Client, path: str) -> None:
    found = client.http.get(path)
    assert {name: found.headers.get(name) for name in HEADERS} == HEADERS
    assert "set-cookie" not in found.headers
    assert "access-control-allow-origin" not in found.headers


def test_the_page_asks_nobody_else_and_has_no_code_of_its_own_in_the_markup(client: Client) -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for path in ("/", "/page.css", "/page.js"):
        text = client.http.get(path).text
        assert "https://" not in text
        assert "http://" not in text
    page = client.http.get("/").text
    assert " style=" not in page
    assert " onclick=" not in page
    assert "innerHTML" not in client.http.get("/page.js").text


def test_a_ticket_buys_the_token_once() -> None:
    """It stands in the browser's command line, which other users of the machine see."""
    own = Secrets()
    ticket = own.ticket
    assert ticket is not None
    assert own.exchange("wrong") is None
    assert own.exchange(ticket) == own.token
    assert own.exchange(ticket) is None
    assert own.exchange(own.token) == own.token
    assert not own.allow(f"Bearer {ticket}")


def test_no_path_leads_to_other_files(client: Client) -> None:
    for path in ("/page.html", "/app.py", "/../guard.py", "/%2e%2e/guard.py", "//etc/passwd"):
        assert client.http.get(path).status_code == 404
