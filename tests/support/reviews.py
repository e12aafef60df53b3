"""Rows for people, as `pet review --rows` writes them, and a session over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pet.reviewing.annotation_files import ReviewRow, ReviewTask, write_rows
from pet.reviewing.answer_log import AnswerLog
from pet.reviewing.review_file import read_rows, rows_digest
from pet.reviewing.review_session import ReviewSession, log_path

LABELS = ("sport", "space", "business")


def write_texts(
    path: Path, texts: Sequence[Mapping[str, str] | str], labels: Sequence[str] = LABELS
) -> Path:
    """Write rows with these texts, the first label predicted for all; their ids are `row-N`."""
    named = [{"text": text} if isinstance(text, str) else dict(text) for text in texts]
    rows = [
        ReviewRow(f"row-{n}", own, labels[0], 0.5, dict.fromkeys(labels, 0.5), "a reason")
        for n, own in enumerate(named)
    ]
    task = ReviewTask("What is it?", tuple(named[0]), tuple(labels), "news")
    write_rows(path, path.suffix[1:], rows, task)
    return path


def session_of(
    path: Path, labels: Sequence[str] = LABELS, fields: Sequence[str] = ("text",)
) -> ReviewSession:
    """Open such a file without its lock, which makes the log."""
    log_path(path).touch()
    rows = read_rows(path, fields, labels)
    return ReviewSession(rows, labels, AnswerLog(log_path(path), rows_digest(rows)))
