"""Who may ask the page's server: the page itself, in the browser of the person who started it.

Any page that the browser shows, and any other user of this machine, can send requests to a
loopback port. Against them stand:

- the Host header, which has to be ours: a name that was rebound to 127.0.0.1 is not;
- the Origin header, which has to be ours wherever something may change;
- a token, without which nothing of the texts is sent. It is in the address behind `#`, which
  browsers send to nobody, and then in a header: a cookie would go to every port of this machine.
"""

from __future__ import annotations

import secrets
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/", "/page.css", "/page.js", "/api/enter")  # nothing of the review is in them

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Secrets:
    """The token that the page shows with every request, and a ticket that buys it once.

    The ticket is for the address that a browser is started with: other users of the machine see
    the words of its command line.
    """

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.ticket: str | None = secrets.token_urlsafe(32)

    def exchange(self, secret: str) -> str | None:
        """Return the token for the token itself, or for the ticket the first time."""
        if self.ticket is not None and _same(secret, self.ticket):
            self.ticket = None
            return self.token
        return self.token if _same(secret, self.token) else None

    def allow(self, authorization: str) -> bool:
        """Return whether a request's header shows the token."""
        return _same(authorization, f"Bearer {self.token}")


def _same(given: str, expected: str) -> bool:
    return secrets.compare_digest(given.encode(), expected.encode())


class Guard:
    """ASGI middleware: refuses what does not come from the page, and sets the headers of safety."""

    def __init__(self, app: ASGIApp, own: Secrets, port: int):
        self._app, self._secrets = app, own
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "uvicorn is started without lifespan and web sockets"

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refusal(scope)
        answer = JSONResponse({"error": refusal}, 403) if refusal else self._app
        await answer(scope, receive, send_safely)

    def _refusal(self, scope: MutableMapping[str, Any]) -> str | None:
        """Say why a request is refused; None if it is not."""
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return "asked under another name than 127.0.0.1"
        if (origins or scope["method"] != "GET") and origins != [f"http://{hosts[0]}"]:
            return "asked by another page"
        allowed = self._secrets.allow(headers.get("authorization", ""))
        if scope["path"] not in OPEN_PATHS and not allowed:
            return "open the address that stands in the terminal"
        return None
