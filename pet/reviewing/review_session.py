"""A review by several people: which row is next, what was answered, undo, agreement."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pet.data.columns import listed
from pet.errors import InputError, LockedError, Problem
from pet.reviewing.agreement import Agreement, agreement_of
from pet.reviewing.annotation_files import ANSWER, file_names, taken_name
from pet.reviewing.answer_form import AnswerForm
from pet.reviewing.answer_log import AnswerLog, LoggedAnswer
from pet.reviewing.review_file import ShownRow, read_rows, rows_digest
from pet.storage.files import changing, write_text
from pet.storage.locks import hold_file
from pet.tasks.task import Task

LONGEST_NAME = 80  # characters of a person's name


@dataclass(frozen=True)
class Reviewer:
    """Who answers: a person by name, for themselves or to settle what people disagree about."""

    annotator: str
    settles: bool = False


@dataclass(frozen=True)
class Given:
    """An answer that stands; an empty label where the row was passed over."""

    label: str
    annotator: str
    date: str


@dataclass(frozen=True)
class Progress:
    """How far a reviewer is: rows with a label, rows that were passed over, rows in all."""

    labeled: int
    passed_over: int
    rows: int


class ReviewSession:
    """The state of a review, which is the sum of its log.

    Rows are known by their place in the file, from 0.
    """

    def __init__(self, rows: Sequence[ShownRow], form: AnswerForm, log: AnswerLog):
        """Go through the log.

        Args:
            form: what an answer is.

        Raises:
            InputError: it is of other rows, or has labels that are none of the task's.
        """
        self.rows, self.form, self._log = rows, form, log
        self._people: dict[str, dict[int, Given]] = {}
        self._settled: dict[int, Given] = {}
        self._before: dict[Reviewer, list[tuple[int, Given | None]]] = {}
        self._contested: set[int] = set()
        places = {row.id: place for place, row in enumerate(rows)}
        logged = log.read()
        self._refuse_unknown(logged)
        for answer in logged:
            self._apply(places[answer.id], answer)

    def _refuse_unknown(self, logged: Sequence[LoggedAnswer]) -> None:
        ids = {row.id for row in self.rows}
        unknown = {own.label for own in logged if not self.form.is_written(own.label)}
        strange = {own.id for own in logged} - ids
        if unknown or strange:
            raise InputError(
                Problem(
                    str(self._log.path),
                    f"ids of the rows, and the task's labels: {listed(self.form.labels)}",
                    f"others: {listed(sorted(unknown or strange), 5)}",
                    "remove these lines, or choose another --out",
                )
            )

    def _apply(self, place: int, answer: LoggedAnswer) -> None:
        reviewer = Reviewer(answer.annotator, answer.settles)
        if not answer.settles:
            self._people.setdefault(answer.annotator, {})
        given, before = self._of(reviewer), self._before.setdefault(reviewer, [])
        if answer.undoes:
            earlier = None
            if before:
                place, earlier = before.pop()
            given.pop(place, None)
            if earlier is not None:
                given[place] = earlier
        else:
            before.append((place, given.get(place)))
            given[place] = Given(answer.label, answer.annotator, answer.date)
        labels = self._labels_of(place)
        (self._contested.add if len(labels) > 1 else self._contested.discard)(place)

    def _of(self, reviewer: Reviewer) -> dict[int, Given]:
        return self._settled if reviewer.settles else self._people.get(reviewer.annotator, {})

    def _labels_of(self, place: int) -> set[str]:
        """Return the labels that people gave to a row."""
        found = (given.get(place) for given in self._people.values())
        return {own.label for own in found if own is not None and own.label}

    def people(self) -> list[str]:
        """Name who has answered, in the order of their first answers."""
        return [name for name, given in self._people.items() if given]

    def given(self, reviewer: Reviewer, place: int) -> Given | None:
        """Return a reviewer's answer to a row."""
        return self._of(reviewer).get(place)

    def given_by_people(self, place: int) -> list[Given]:
        """Return all labels that a row has."""
        found = (given.get(place) for given in self._people.values())
        return [own for own in found if own is not None and own.label]

    def contested(self) -> list[int]:
        """Return the rows to which people gave different labels, settled or not."""
        return sorted(self._contested)

    def answer(self, reviewer: Reviewer, place: int, label: str, suggestion_shown: bool) -> None:
        """Take an answer; it is on the disk when this returns.

        Args:
            label: the answer as `form` writes it; empty to pass the row over.

        Raises:
            InputError: no such row or label, a name that cannot be shown, or a full disk.
        """
        name = reviewer.annotator
        if not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name.strip() != name:
            raise InputError(
                Problem("name", f"1 to {LONGEST_NAME} printable characters", repr(name[:99]))
            )
        if not self.form.is_written(label) or not 0 <= place < len(self.rows):
            expected = f"a row's place and one of the labels {listed(self.form.labels)}"
            raise InputError(Problem("answer", expected, f"{place}, {label[:99]!r}"))
        self._take(reviewer, place, label, suggestion_shown=suggestion_shown)

    def undo(self, reviewer: Reviewer) -> int | None:
        """Take the reviewer's last answer back; return its row, None where there is none."""
        before = self._before.get(reviewer)
        if not before:
            return None
        place = before[-1][0]
        self._take(reviewer, place, "", undoes=True)
        return place

    def can_undo(self, reviewer: Reviewer) -> bool:
        return bool(self._before.get(reviewer))

    def _take(self, reviewer: Reviewer, place: int, label: str, **more: bool) -> None:
        answer = LoggedAnswer(
            id=self.rows[place].id,
            annotator=reviewer.annotator,
            label=label,
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            settles=reviewer.settles,
            **more,
        )
        self._log.append(answer)
        self._apply(place, answer)

    def next_row(self, reviewer: Reviewer, after: int = -1) -> int | None:
        """Return the next row without an answer, the first of them behind the last; None: no more.

        Args:
            after: the row that the person looks at.
        """
        given = self._of(reviewer)
        return next((place for place in self._queue(reviewer, after) if place not in given), None)

    def next_passed_over(self, reviewer: Reviewer, after: int = -1) -> int | None:
        """Return the next row that was passed over, up to the last."""
        given = self._of(reviewer).items()
        return min((row for row, own in given if not own.label and row > after), default=None)

    def _queue(self, reviewer: Reviewer, after: int) -> Iterator[int]:
        """Yield a reviewer's rows from the one behind `after`, round to it."""
        if reviewer.settles:
            rows = self.contested()
            return iter([*(r for r in rows if r > after), *(r for r in rows if r <= after)])
        return itertools.chain(range(after + 1, len(self.rows)), range(after + 1))

    def progress(self, reviewer: Reviewer) -> Progress:
        """Count a reviewer's rows."""
        given = self._of(reviewer)
        rows = self._contested if reviewer.settles else range(len(self.rows))
        own = [answer for place, answer in given.items() if place in rows]
        labeled = sum(bool(answer.label) for answer in own)
        return Progress(labeled, len(own) - labeled, len(rows))

    def progress_of_people(self) -> dict[str, Progress]:
        """Count the rows of everybody who has answered."""
        return {name: self.progress(Reviewer(name)) for name in self.people()}

    def unsettled(self) -> int:
        """Count the rows that people disagree about, and that nobody has settled."""
        return sum(self.final(place) is None for place in self._contested)

    def agreements(self) -> list[Agreement]:
        """Compare every two people."""
        labels = {
            name: {place: own.label for place, own in self._people[name].items() if own.label}
            for name in self.people()
        }
        pairs = itertools.combinations(labels, 2)
        return [agreement_of((a, b), labels[a], labels[b]) for a, b in pairs]

    def final(self, place: int) -> Given | None:
        """Return a row's one answer: settled, or what all agree on; None where there is none."""
        own = self.given_by_people(place)
        if place in self._contested:
            settled = self._settled.get(place)
            return settled if settled and settled.label else None
        if not own:
            return None
        people = ", ".join(given.annotator for given in own)
        return Given(own[0].label, people, max(given.date for given in own))

    def write_answers(self, path: Path) -> int:
        """Write one line a row, as `read_annotations` takes it; return how many have an answer."""
        lines, answered = [], 0
        names = file_names(tuple(self.rows[0].texts))
        for place, row in enumerate(self.rows):
            final = self.final(place)
            answered += final is not None
            record = {
                "id": row.id,
                # They show `--answers` that these are the run's rows; it takes texts that are cut.
                **{names[field]: text for field, text in row.texts.items()},
                ANSWER: self.form.value(final.label) if final else "",
                "annotator": final.annotator if final else "",
                "date": final.date if final else "",
            }
            lines.append(json.dumps(record, ensure_ascii=False) + "\n")
        write_text(path, "".join(lines))
        return answered


def log_path(rows: Path) -> Path:
    """Name the log of a file of rows."""
    return rows.with_name(f"{rows.stem}-log.jsonl")


def answers_path(rows: Path) -> Path:
    """Name the answers to a file of rows, as `pet review --answers` takes them."""
    return rows.with_name(f"{rows.stem}-answers.jsonl")


@contextlib.contextmanager
def open_review(path: Path, task: Task) -> Iterator[ReviewSession]:
    """Open a file of rows for this process alone, with the answers so far.

    Raises:
        InputError: the rows or the answers cannot be used.
        LockedError: another process has it open.
    """
    form = AnswerForm.of(task)
    with changing(path):
        rows = read_rows(path, task.fields, form)
    if answers_path(path).exists() and not log_path(path).exists():
        raise taken_name(answers_path(path))
    with _held(log_path(path)):
        yield ReviewSession(rows, form, AnswerLog(log_path(path), rows_digest(rows)))


@contextlib.contextmanager
def _held(log: Path) -> Iterator[None]:
    """Hold a log, which is made if it is not there."""
    try:
        with changing(log):
            descriptor = hold_file(log)
    except LockedError:
        raise LockedError(
            Problem(
                str(log),
                "a review that no other process has open",
                "another one has",
                "use its page, or stop it first with Ctrl-C",
            )
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)
