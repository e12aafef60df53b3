"""Tasks: labels, fields, patterns and words in one TOML, checked as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.data.text_keys import row_digests
from pet.errors import InputError, Problem
from pet.tasks.patterns import Pattern
from pet.tasks.rules import Rule
from pet.tasks.task_file import (
    LONGEST_FILE,
    LabelsPerText,
    TaskFile,
    instead,
    read_document,
    shown,
    sorted_names,
)


@dataclass(frozen=True)
class Task:
    """What to label and how to ask: labels, fields, patterns, and words for the labels.

    Attributes:
        labels: in the order of the file, as are `patterns`.
        words: pattern name -> label -> words, with the pattern's own words put in, and suggested
            ones.
        own_words: the same without suggested ones.
        words_from: digests of the rows on which the suggested words were chosen; none without any.
        toml: the file as it was.
        weights: of every pattern by name; none where they are to be measured.
        choices: fields whose texts are the labels' words, row by row (multiple choice), in the
            order of the labels; none of other tasks.
        rules: in the order of the file.
        prior: the share of every label among all texts; none where it is not known.
        labels_per_text: how many labels a text has: one, or any number of them.
        labels_separated_by: what stands between the labels of one cell; empty: nothing, files
            hold lists.
        label_separator: what makes a tree of the labels; empty: they are none.
    """

    name: str
    description: str
    source: str
    fields: tuple[str, ...]
    labels: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    words: Mapping[str, Mapping[str, tuple[str, ...]]] = field(hash=False)
    toml: str
    weights: Mapping[str, float] = field(default_factory=dict, hash=False)
    choices: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    prior: Mapping[str, float] = field(default_factory=dict, hash=False)
    labels_per_text: LabelsPerText = "one"
    labels_separated_by: str = ""
    label_separator: str = ""
    own_words: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict, hash=False)
    words_from: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether a text may have several labels, or none."""
        return self.labels_per_text == "any"

    def pattern(self, name: str) -> Pattern:
        """Return the pattern of that name.

        Raises:
            InputError: the task has no such pattern.
        """
        patterns = {pattern.name: pattern for pattern in self.patterns}
        if name not in patterns:
            where, fix = f"task {self.name}", instead(name, patterns, "name one of these")
            expected = f"a pattern: {sorted_names(patterns)}"
            raise InputError(Problem(where, expected, shown(name), fix))
        return patterns[name]

    def verbalizer(self, pattern_name: str) -> Mapping[str, tuple[str, ...]]:
        """Return the words of every label under one pattern.

        Raises:
            InputError: the task has no such pattern.
        """
        return self.words[self.pattern(pattern_name).name]

    @property
    def shares(self) -> tuple[float, ...] | None:
        """The labels' shares, in their order; None where they are not known."""
        return tuple(self.prior.values()) or None

    def rows_of_words(self, columns: Mapping[str, Sequence[str]]) -> NDArray[np.int64]:
        """Return those of some rows on which the suggested words were chosen."""
        if not self.words_from:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(np.isin(row_digests(columns, self.fields), self.words_from))

    def words_in_order(self, pattern_name: str) -> list[list[str]]:
        """List every label and its words under one pattern, for what depends on their order too."""
        return [[label, *words] for label, words in self.verbalizer(pattern_name).items()]


def shipped_tasks() -> list[str]:
    """List the names of the tasks that come with the package."""
    files = resources.files("verbalizers").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_task(ref: str | Path) -> Task:
    """Load a task by the path of its file, or by the name of a shipped one.

    A reference with a suffix or a separator is a path; a bare name is a shipped task if there
    is one of that name, else a path.

    Raises:
        InputError: there is no such file, or something is wrong in it; every problem is listed.
    """
    name = str(ref)
    if name in shipped_tasks():
        raw = resources.files("verbalizers").joinpath(f"{name}.toml").read_bytes()
        return parse_task(_decoded(raw, f"verbalizers/{name}.toml"), f"verbalizers/{name}.toml")
    return parse_task(_decoded(_file_bytes(name), name), name)


def parse_task(toml_text: str, where: str) -> Task:
    """Read a task from the text of its file; `where` names the file in problems.

    Raises:
        InputError: the text is not TOML, or is no good as a task; every problem is listed.
    """
    read = TaskFile(read_document(toml_text, where), where)
    name, description, source = read.name(), read.text("description"), read.text("source")
    fields, labels = read.fields(), read.labels()
    patterns, own_words, weights = read.patterns(fields), read.words(labels), read.weights()
    choices, rules = read.choices(labels, fields), read.rules(labels, fields)
    prior, per_text = read.prior(labels), read.labels_per_text()
    separators = read.labels_separated_by(), read.label_separator(labels)
    words_from = read.words_from()
    words = read.suggested_words(own_words, labels, not choices and per_text == "one")
    if read.problems:
        raise InputError(read.problems)
    several, suggested = (per_text, *separators), (own_words, words_from)
    own = patterns, words, toml_text, weights, choices, rules, prior, *several, *suggested
    return Task(name, description, source, fields, tuple(labels), *own)


def _file_bytes(name: str) -> bytes:
    try:
        with Path(name).open("rb") as stream:
            return stream.read(4 * LONGEST_FILE + 1)  # of what has no end, too
    except IsADirectoryError as error:
        fix = "name the task file in it, such as task.toml"
        raise InputError(Problem(name, "a task file", "a folder", fix)) from error
    except FileNotFoundError as error:
        expected = f"the path of a task file, or a shipped task: {sorted_names(shipped_tasks())}"
        fix = instead(Path(name).stem, shipped_tasks(), "check the path")
        raise InputError(Problem(name, expected, "no such file or task", fix)) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        fix = "check the path, and that you may read the file"
        raise InputError(Problem(name, "a readable task file", reason, fix)) from error


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{raw[error.start]:02x} in line {line}, which is not UTF-8"
        problem = Problem(where, "a text file in UTF-8", found, "save the file as UTF-8")
        raise InputError(problem) from error


def refuse_several(task: Task, what: str) -> None:
    """Refuse a task of several labels a text where only one can be handled.

    Raises:
        InputError: a text of the task may have several labels.
    """
    if task.several:
        raise InputError(
            Problem(
                f"task {task.name}",
                f"one label a text, for {what}",
                'labels_per_text = "any"',
                "nothing: it is not built for several labels a text",
            )
        )


def column_names(task: Task, text_column: str | None) -> dict[str, str] | None:
    """State in which column the task's one field stands, where it is another than its name.

    Raises:
        InputError: the task has several fields.
    """
    if text_column is None:
        return None
    if len(task.fields) > 1:
        raise InputError(
            Problem(
                "setting text_column",
                "a task with one field",
                ", ".join(task.fields),
                "name the file's columns like the task's fields, and leave --text-column out",
            )
        )
    return {task.fields[0]: text_column}
