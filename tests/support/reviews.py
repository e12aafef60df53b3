"""Rows for people, as `pet review --rows` writes them, a session over them, and their page."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from flows.review_page.app import ReviewApp
from flows.review_page.guard import Guard, Secrets
from flows.review_page.server import bind, serve
from pet.reviewing.annotation_files import ReviewRow, ReviewTask, write_rows
from pet.reviewing.answer_form import AnswerForm
from pet.reviewing.answer_log import AnswerLog
from pet.reviewing.review_file import read_rows, rows_digest
from pet.reviewing.review_session import ReviewSession, log_path

LABELS = ("sport", "space", "business")


def write_texts(
    path: Path,
    texts: Sequence[Mapping[str, str] | str],
    labels: Sequence[str] = LABELS,
    several: bool = False,
) -> Path:
    """Write rows with these texts, the first label predicted for all; their ids are `row-N`."""
    form = AnswerForm(tuple(labels), several)
    label = form.written(labels[:1]) if several else labels[0]
    named = [{"text": text} if isinstance(text, str) else dict(text) for text in texts]
    rows = [
        ReviewRow(f"row-{n}", own, label, 0.5, dict.fromkeys(labels, 0.5), "a reason")
        for n, own in enumerate(named)
    ]
    task = ReviewTask("What is it?", tuple(named[0]), tuple(labels), "news", several)
    write_rows(path, path.suffix[1:], rows, task)
    return path


def session_of(
    path: Path,
    labels: Sequence[str] = LABELS,
    fields: Sequence[str] = ("text",),
    several: bool = False,
) -> ReviewSession:
    """Open such a file without its lock, which makes the log."""
    log_path(path).touch()
    form = AnswerForm(tuple(labels), several)
    rows = read_rows(path, fields, form)
    return ReviewSession(rows, form, AnswerLog(log_path(path), rows_digest(rows)))


def app_of(session: ReviewSession, own: Secrets, port: int, title: str = "What?") -> Guard:
    """The page's application, as the command puts it together."""
    return Guard(ReviewApp(session, own, title, True, lambda: ["closed"]).app(), own, port)


class Served:
    """A page that is being served."""

    def __init__(self, port: int, own: Secrets):
        self.port = port
        self.address = f"http://127.0.0.1:{port}/#{own.token}"


@contextlib.contextmanager
def serving(session: ReviewSession, title: str = "What?") -> Iterator[Served]:
    """Serve the page from a thread of this process."""
    own, over = Secrets(), threading.Event()
    with bind(0) as listener:
        port = listener.getsockname()[1]
        app = app_of(session, own, port, title)
        thread = threading.Thread(target=serve, args=(app, listener, over.is_set))
        thread.start()
        try:
            yield Served(port, own)
        finally:
            over.set()
            thread.join()
