"""Every answer in the moment that it is given: a log that is only appended to."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pet.errors import InputError, Problem
from pet.storage.files import append_line, drop_torn_line


class LoggedAnswer(BaseModel):
    """What one person did with one row.

    Attributes:
        id: the row's.
        label: empty where the row was passed over.
        date: ISO 8601, in UTC.
        settles: the label decides between people who disagree.
        suggestion_shown: the person saw what the model predicts.
        undoes: this person's answer before is taken back; the label says nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    annotator: str
    label: str
    date: str
    settles: bool = False
    suggestion_shown: bool = False
    undoes: bool = False


class AnswerLog:
    """The file that answers are appended to: a line that names the rows, then a line an answer."""

    def __init__(self, path: Path, rows_digest: str):
        self.path = path
        self._head = json.dumps({"rows": rows_digest})

    def read(self) -> list[LoggedAnswer]:
        """Return all answers; a line that a kill has torn is dropped.

        Raises:
            InputError: the log is of other rows, or something else was written into it.
        """
        drop_torn_line(self.path)
        head, *lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        if not head and not lines:
            append_line(self.path, self._head)
            return []
        if head != self._head:
            raise InputError(
                Problem(
                    str(self.path),
                    "answers to the rows of the file beside it",
                    "answers to other rows, or to other texts",
                    "put the old file of rows back, or choose another --out",
                )
            )
        return [self._parsed(number, line) for number, line in enumerate(lines, 2) if line]

    def _parsed(self, number: int, line: str) -> LoggedAnswer:
        try:
            return LoggedAnswer.model_validate_json(line)
        except ValidationError:
            raise InputError(
                Problem(
                    f"{self.path}, line {number}",
                    "an answer as the page writes it",
                    line[:80],
                    "remove this line; the other answers stay",
                )
            ) from None

    def append(self, answer: LoggedAnswer) -> None:
        """Write an answer; it is on the disk when this returns.

        Raises:
            InputError, PetError: it cannot be written, and nothing of it is.
        """
        append_line(self.path, answer.model_dump_json(exclude_defaults=True))
