"""The file of rows for people, read back to be shown row by row."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pet.data.text_readers import is_unicode
from pet.errors import InputError, Problem
from pet.reviewing.annotation_files import ANSWER, file_names
from pet.reviewing.annotations import table_records
from pet.reviewing.answer_form import AnswerForm, NotAnAnswer

SHOWN = 40_000  # characters of a text that are kept to be shown: five times a long article

FORMATS = (".jsonl", ".csv")


@dataclass(frozen=True)
class ShownRow:
    """A row as a person sees it.

    Attributes:
        texts: field -> the beginning of its text, at most `SHOWN` characters.
        lengths: field -> characters of the whole text.
        label: what is predicted, as `AnswerForm` writes it; empty if the file has none, or
            other labels than the task's.
        confidence, why: as the file has them.
    """

    id: str
    texts: Mapping[str, str]
    lengths: Mapping[str, int]
    label: str
    confidence: str
    why: str


def read_rows(path: Path, fields: Sequence[str], form: AnswerForm) -> list[ShownRow]:
    """Read the rows that `write_rows` wrote, or a spreadsheet has saved since.

    Args:
        form: what an answer is.

    Raises:
        InputError: no such file, no rows, ids that are not unique, no texts, or answers in it.
    """
    names = file_names(fields)
    rows, wrong, answers, seen = list[ShownRow](), list[str](), 0, set[str]()
    for number, record in enumerate(_records(path), start=1):
        texts = {field: record.get(name) for field, name in names.items()}
        id = record.get("id")
        whole = {field: text for field, text in texts.items() if isinstance(text, str)}
        if not isinstance(id, str) or not id:
            wrong.append(f"row {number}: no id")
        elif not all(map(is_unicode, (id, *whole.values()))):
            wrong.append(f"row {number}: half of a Unicode character")
        elif id in seen:
            wrong.append(f"row {number}: the id {id} once more")
        elif len(whole) < len(texts):
            wrong.append(f"row {number}: no text in {', '.join(texts.keys() - whole.keys())}")
        else:
            seen.add(id)
            rows.append(_row(id, whole, record, form))
        answers += bool(record.get(ANSWER))
    if wrong:
        more = f" and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
        expected = f"an id of its own and the texts {', '.join(names.values())} in every row"
        raise InputError(
            Problem(
                str(path), expected, "; ".join(wrong[:5]) + more, "is it this run's file of rows?"
            )
        )
    if not rows:
        raise InputError(Problem(str(path), "rows", "none", "choose rows: another --out"))
    if answers:
        raise InputError(
            Problem(
                str(path),
                f"an empty column {ANSWER!r}: the page keeps answers in a file of their own",
                f"{answers:,} answers",
                f"take them first: pet review RUN --answers {path}",
            )
        )
    return rows


def _row(
    id: str, texts: Mapping[str, str], record: Mapping[str, Any], form: AnswerForm
) -> ShownRow:
    label = ""
    with contextlib.suppress(NotAnAnswer):
        label = form.read(record.get("label"))
    return ShownRow(
        id,
        {field: text[:SHOWN] for field, text in texts.items()},
        {field: len(text) for field, text in texts.items()},
        "" if form.unknown(label) else label,
        str(record.get("confidence") or ""),
        str(record.get("why") or ""),
    )


def check_ending(path: Path) -> None:
    """Refuse a file of rows that is for another tool.

    Raises:
        InputError: it is.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            Problem(
                f"--out {path}",
                f"with --serve a file that ends in {' or '.join(FORMATS)}",
                path.suffix or "no ending",
                "for example --out review.jsonl",
            )
        )


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    check_ending(path)
    return _lines(path) if path.suffix.lower() == ".jsonl" else table_records(path)


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read JSON Lines of any length: texts of the pool may be longer than what tables take."""
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                raise InputError(
                    Problem(
                        f"{path}, line {number}",
                        "a row, as a JSON object",
                        line[:80].rstrip("\n"),
                        "write the file again with `pet review --rows`",
                    )
                )
            yield record


def rows_digest(rows: Sequence[ShownRow]) -> str:
    """Name rows by their ids and texts."""
    total = hashlib.sha256()
    for row in rows:
        part = json.dumps([row.id, *row.texts.items(), *row.lengths.values()])
        total.update(part.encode())
    return total.hexdigest()
