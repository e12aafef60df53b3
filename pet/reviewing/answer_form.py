"""What an answer is: one label, or all labels of a text; and how it is written as one text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.data.columns import listed
from pet.data.label_values import indicators
from pet.tasks.task import Task

NONE = "none of them"  # what people see of an answer without a label


class NotAnAnswer(ValueError):
    """A value that is no answer of this form."""


@dataclass(frozen=True)
class AnswerForm:
    """How answers are written.

    As a text an answer is its label. Where a text may have several, it is all of them as a JSON
    list in the task's order, so that equal answers are equal texts: `[]` is none of the labels.
    Where a row was passed over, it is empty.

    Attributes:
        labels: the task's.
        separator: what may stand between labels in place of JSON; empty: nothing.
    """

    labels: tuple[str, ...] = ()
    several: bool = False
    separator: str = ""

    @classmethod
    def of(cls, task: Task) -> AnswerForm:
        """Return the form of answers about a task's texts."""
        return cls(task.labels, task.several, task.labels_separated_by)

    def written(self, names: Iterable[str]) -> str:
        """Write labels as the answer of a text that may have several."""
        order = {label: place for place, label in enumerate(self.labels)}
        own = sorted(dict.fromkeys(names), key=lambda name: (order.get(name, len(order)), name))
        return json.dumps(own, ensure_ascii=False)

    def names(self, answer: str) -> list[str]:
        """Return the labels of an answer."""
        if not self.several or not answer:
            return [answer] if answer else []
        found = json.loads(answer)
        return [str(name) for name in found] if isinstance(found, list) else []

    def value(self, answer: str) -> str | list[str]:
        """Return an answer as JSON files hold it: a text, or a list; empty where there is none."""
        return self.names(answer) if self.several and answer else answer

    def shown(self, answer: str) -> str:
        """Return an answer as people read it."""
        names = self.names(answer)
        return ", ".join(names) if names else NONE if answer else ""

    def unknown(self, answer: str) -> list[str]:
        """Return the labels of an answer that are none of the task's."""
        return [name for name in self.names(answer) if name not in self.labels]

    def is_written(self, answer: str) -> bool:
        """Return whether a text is an answer as it is written here, with the task's labels."""
        try:
            names = self.names(answer)
        except (ValueError, RecursionError):
            return False
        own = answer if not self.several or not answer else self.written(names)
        return own == answer and not self.unknown(answer)

    def read(self, value: Any) -> str:
        """Return the answer that a file holds: a text, a list, JSON, Label Studio's `choices`.

        Raises:
            NotAnAnswer: it is something else, or several labels where one is meant.
        """
        if isinstance(value, dict):
            value = value.get("choices")
        if self.several:
            return self._read_set(value)
        if isinstance(value, list):
            if len(value) > 1:
                raise NotAnAnswer(f"{len(value)} labels: {listed(list(map(str, value)), 3)}")
            value = value[0] if value else None
        if isinstance(value, dict | list):
            raise NotAnAnswer("an answer that is no text")
        return plain_text(value)

    def _read_set(self, value: Any) -> str:
        if isinstance(value, str) and value.strip().startswith("[") and value not in self.labels:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise NotAnAnswer('other than a list such as ["a", "b"]') from None
        elif isinstance(value, str) and self.separator and value not in self.labels:
            value = [part for part in value.split(self.separator) if part.strip()] or None
        names = value if isinstance(value, list) else [value]
        if any(isinstance(name, dict | list) for name in names):
            raise NotAnAnswer("labels that are no texts")
        own = [name for name in map(plain_text, names) if name]
        return self.written(own) if own or value == [] else ""


ONE_LABEL = AnswerForm()


def has_labels(answers: Sequence[str | None], form: AnswerForm) -> NDArray[np.bool_]:
    """Return whether answers have each of the task's labels; other labels count for nothing.

    Returns:
        [answers, labels]
    """
    if not form.several:
        given, labels = np.array(answers, object), np.array(form.labels, object)
        return np.asarray(given[:, None] == labels, bool)
    names = [form.names(answer) if answer else [] for answer in answers]
    return indicators([[n for n in own if n in form.labels] for own in names], form.labels)


def plain_text(value: Any) -> str:
    """Return a value as text without blanks at its ends; 1.0 is 1, and nothing is empty."""
    return identity(value).strip()


def identity(value: Any) -> str:
    """Return an id as it is: databases pad theirs with blanks."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)
