"""What the page asks its server: a row, an answer, undo, how far everybody is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flows.review_page.guard import Secrets
from pet.errors import PetError
from pet.escaping import visible
from pet.reviewing.answer_form import AnswerForm
from pet.reviewing.review_file import ShownRow
from pet.reviewing.review_session import Reviewer, ReviewSession

FILES = {"/": "text/html", "/page.css": "text/css", "/page.js": "text/javascript"}

LONGEST_REQUEST = 16_384  # bytes; a label and a name are far shorter


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Entry(_Asked):
    secret: str


class _ByReviewer(_Asked):
    """
    Attributes:
        suggestion: the page shows what the model predicts.
    """

    annotator: str
    settles: bool = False
    suggestion: bool = False

    @property
    def reviewer(self) -> Reviewer:
        return Reviewer(self.annotator, self.settles)


class _RowWanted(_ByReviewer):
    """
    Attributes:
        place: the row's; None: the next one that is open.
        passed_over: the next one that was passed over.
    """

    place: int | None = None
    passed_over: bool = False


class _Answered(_ByReviewer):
    """
    Attributes:
        label: a label, or a list of labels where a text may have several; empty to pass the row
            over.
        passed_over: the person goes through rows that were passed over.
    """

    place: int
    label: str | list[str]
    passed_over: bool = False


class _Refused(Exception):
    """A request that the page does not send."""


async def _read(request: Request, form: type[Any]) -> Any:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_REQUEST:
            raise _Refused("a longer request than the page sends")
    try:
        return form.model_validate_json(body)
    except ValidationError:
        raise _Refused("a request of another form than the page sends") from None


class ReviewApp:
    """The handlers, over one session.

    They are coroutines of one thread that never wait in the middle, so that they need no lock.
    """

    def __init__(
        self,
        session: ReviewSession,
        secrets: Secrets,
        title: str,
        suggestion: bool,
        finish: Callable[[], list[str]],
    ):
        """
        Args:
            title: what people are asked: the task's description, which may be empty.
            suggestion: the page begins with the model's predictions shown.
            finish: ends the review; returns lines on where the answers are.
        """
        self._session, self._secrets, self._finish = session, secrets, finish
        asked = "Which labels?" if session.form.several else "Which label?"
        self._title, self._suggestion = title or asked, suggestion

    def app(self) -> Starlette:
        """Return the ASGI application."""
        posts = {
            "enter": self._enter,
            "review": self._review,
            "row": self._row,
            "answer": self._answer,
            "undo": self._undo,
            "finish": self._end,
        }
        routes = [Route(path, self._file) for path in FILES]
        routes += [
            Route(f"/api/{name}", _reported(handler), methods=["POST"])
            for name, handler in posts.items()
        ]
        return Starlette(routes=routes)

    async def _file(self, request: Request) -> Response:
        path = request.url.path
        name = path.removeprefix("/") or "page.html"
        content = Path(__file__).with_name(name).read_bytes()
        return Response(content, media_type=FILES[path])

    async def _enter(self, request: Request) -> dict[str, Any]:
        token = self._secrets.exchange((await _read(request, _Entry)).secret)
        if token is None:
            raise _Refused("open the address that stands in the terminal: this one is used up")
        return {"token": token}

    async def _review(self, request: Request) -> dict[str, Any]:
        """Describe the review: the task, who has answered, how far they agree."""
        await _read(request, _ByReviewer)
        session = self._session
        people = session.progress_of_people()
        done = {name: own.labeled + own.passed_over == own.rows for name, own in people.items()}
        return {
            "title": visible(self._title),
            "labels": [{"label": own, "shown": visible(own)} for own in session.form.labels],
            "several": session.form.several,
            "suggestion": self._suggestion,
            "has_suggestions": any(row.label for row in session.rows),
            "rows": len(session.rows),
            "people": [{"name": name, **vars(own)} for name, own in people.items()],
            # Before the end it would tell a person whether the last answer was the other's.
            "agreements": [
                str(own) for own in session.agreements() if all(done[name] for name in own.people)
            ],
            "unsettled": session.unsettled(),
        }

    async def _row(self, request: Request) -> dict[str, Any]:
        wanted = await _read(request, _RowWanted)
        place = wanted.place
        if place is None:
            find = self._session.next_passed_over if wanted.passed_over else self._session.next_row
            place = find(wanted.reviewer)
        return self._shown(wanted, place)

    async def _answer(self, request: Request) -> dict[str, Any]:
        given, session = await _read(request, _Answered), self._session
        label = given.label
        if isinstance(label, list):
            if not session.form.several:
                raise _Refused("several labels for a text that has one")
            label = session.form.written(label)
        session.answer(given.reviewer, given.place, label, given.suggestion)
        find = session.next_passed_over if given.passed_over else session.next_row
        return self._shown(given, find(given.reviewer, given.place))

    async def _undo(self, request: Request) -> dict[str, Any]:
        asked = await _read(request, _ByReviewer)
        place = self._session.undo(asked.reviewer)
        if place is None:
            raise _Refused("nothing to take back")
        return self._shown(asked, place)

    async def _end(self, request: Request) -> dict[str, Any]:
        await _read(request, _Asked)
        return {"lines": self._finish()}

    def _shown(self, asked: _ByReviewer, place: int | None) -> dict[str, Any]:
        """Lay out what the page shows: one row, or that there is none left."""
        session, reviewer, form = self._session, asked.reviewer, self._session.form
        progress = {**vars(session.progress(reviewer)), "can_undo": session.can_undo(reviewer)}
        if place is None:
            return {"place": None, **progress}
        if not 0 <= place < len(session.rows):
            raise _Refused("no such row")
        row, given = session.rows[place], session.given(reviewer, place)
        others = session.given_by_people(place) if asked.settles else []
        return {
            "place": place,
            "texts": [_text(row, field) for field in row.texts],
            "answer": form.value(given.label) if given else None,
            "others": [f"{own.annotator}: {visible(form.shown(own.label))}" for own in others],
            "suggestion": _suggestion(row, form) if asked.suggestion and row.label else None,
            **progress,
        }


def _text(row: ShownRow, field: str) -> dict[str, Any]:
    shown = row.texts[field]
    return {
        "field": visible(field),
        "text": visible(shown.replace("\r\n", "\n")),
        "shown": len(shown),
        "length": row.lengths[field],
    }


def _suggestion(row: ShownRow, form: AnswerForm) -> dict[str, Any]:
    return {
        "label": form.value(row.label),
        "confidence": visible(row.confidence),
        "why": visible(row.why),
    }


def _reported(
    handler: Callable[[Request], Awaitable[dict[str, Any]]],
) -> Callable[[Request], Awaitable[Response]]:
    """Answer with JSON; what is wrong is a text for the page."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await handler(request))
        except (_Refused, PetError) as error:
            return JSONResponse({"error": visible(str(error))}, 400)

    return answer
