"""The student by itself: a folder that names the fields it reads, so that it can predict."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import pet
from pet.config import LongTexts, RunConfig
from pet.data.label_values import label_name
from pet.errors import InputError, Problem
from pet.inputs.session import StoredRun
from pet.method.outcomes import ONE, AnyLabels, Outcome
from pet.method.word_classifier import WordClassifier, load_word_classifier
from pet.models.loading import choose_device
from pet.models.model import Classifier, Precision
from pet.models.scoring import Columns, score_columns
from pet.progress import Tick, no_tick
from pet.storage.files import read_json, write_json
from pet.storage.format_version import FORMAT, check_format
from pet.storage.units import DONE, difference_of, file_digest, with_digest
from pet.tasks.compilation import plain_encoder
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task

RECORD = "pet.json"

CARD = "README.md"

TOKENS_PER_BATCH = 8192


class Record(BaseModel):
    """What the files of its model do not hold of a student.

    Attributes:
        task: the task's name.
        labels: in the order of the student's scores.
        fields: the columns that it reads, in order.
        max_length: tokens that a text is cut to; None of a linear student, which reads it whole.
        long_texts: what is kept of a longer one; not written where it is the beginning alone.
        classes: the labels as whoever trained it wrote them in Python (1 for "1"), if they did.
        thresholds: where a text may have several labels, the probability from which on each is
            given; none where it has one.
    """

    model_config = ConfigDict(frozen=True)

    task: str
    labels: tuple[str, ...] = Field(min_length=2)
    fields: tuple[str, ...] = Field(min_length=1)
    max_length: int | None = Field(None, ge=1)
    classes: tuple[str | bool | int | float, ...] = ()
    long_texts: LongTexts = "head"
    thresholds: tuple[float, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What a text's labels can be."""
        return AnyLabels((), self.thresholds) if self.thresholds else ONE

    @model_validator(mode="after")
    def _thresholds_are_of_the_labels(self) -> Record:
        if self.thresholds and len(self.thresholds) != len(self.labels):
            raise ValueError("thresholds of other labels")
        return self

    @model_validator(mode="after")
    def _classes_are_the_labels(self) -> Record:
        if self.classes and sorted(map(str, map(label_name, self.classes))) != sorted(self.labels):
            raise ValueError("classes that are not the labels")
        return self


def record_of(task: Task, config: RunConfig, thresholds: tuple[float, ...] = ()) -> Record:
    """Describe the student of a run."""
    return Record(
        task=task.name,
        labels=task.labels,
        fields=task.fields,
        max_length=None if config.linear_student else config.student_length,
        long_texts="head" if config.linear_student else config.long_texts,
        thresholds=thresholds,
    )


def write_record(folder: Path, record: Record) -> None:
    """Write `pet.json` last into a student's folder that is in the making: it names all files."""
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.name != CARD}
    unsaid = {"long_texts"} if record.long_texts == "head" else set()
    unsaid |= set() if record.thresholds else {"thresholds"}
    unsaid |= {"max_length"} if record.max_length is None else set()
    own = record.model_dump(exclude=unsaid)
    content = {"format": FORMAT, "pet": pet.__version__, **own, "files": files}
    write_json(folder / RECORD, with_digest(content))


def read_student_record(folder: Path) -> Record:
    """Read a student's fields and labels.

    Raises:
        InputError: no student is there, or one of a newer version or without a usable record; or
            a file of it is another by now. Former versions wrote no digests.
    """
    content = read_json(folder / RECORD)
    if isinstance(content, dict):
        check_format(folder / RECORD, content)
        if content.get("digest") not in (None, with_digest(content)["digest"]):
            raise _no_record(folder, "one that was changed after it was written")
        files = content.get("files")
        if isinstance(files, dict) and (found := difference_of(folder, files, RECORD, DONE)):
            raise InputError(
                Problem(
                    str(folder),
                    "a student as it was written",
                    found,
                    "export or copy it again; weights of your own are loaded by transformers",
                )
            )
    try:
        return Record.model_validate(content)
    except ValidationError:
        raise _no_record(folder, "none" if content is None else "a damaged one") from None


def thresholds_of(folder: Path) -> tuple[float, ...]:
    """Return the probability from which on a student gives each of several labels.

    Raises:
        InputError: its record names none.
    """
    content = read_json(folder / RECORD)
    found = content.get("thresholds") if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(own, float) for own in found):
        raise _no_record(folder, "one without thresholds of several labels")
    return tuple(found)


def _no_record(folder: Path, found: str) -> InputError:
    return InputError(
        Problem(
            str(folder),
            f"a student's folder, with its {RECORD}",
            found,
            "give the folder of a finished run, or what `pet export` or `save` wrote",
        )
    )


@dataclass
class Student:
    """A classifier in memory, ready to be asked, by several threads at once too.

    All that asks a student, or a baseline of its kind, does so by `logits`, whatever its model is.

    It pickles as the bytes of its files, on whatever device it was; unpickling loads them anew.
    """

    model: Classifier | WordClassifier
    record: Record
    card: str = ""
    tokens_per_batch: int = field(default=TOKENS_PER_BATCH, repr=False)

    @property
    def classifier(self) -> Classifier:
        """Its model, where that is one of transformers'."""
        assert isinstance(self.model, Classifier), "nobody asks of a linear student"
        return self.model

    def encoder(self) -> Encoder:
        """Return what turns its fields into the ids that a model of transformers reads."""
        assert self.record.max_length is not None, "a linear student has no tokens"
        return plain_encoder(
            self.classifier.tokenizer,
            self.record.fields,
            self.record.max_length,
            long_texts=self.record.long_texts,
        )

    def logits(self, columns: Columns, tick: Tick = no_tick) -> NDArray[np.float32]:
        """Ask about texts. [rows, labels]"""
        if isinstance(self.model, WordClassifier):
            return self.model.logits([columns[name] for name in self.record.fields], tick)
        return score_columns(self.model, self.encoder(), columns, self.tokens_per_batch, tick)

    def probabilities(self, columns: Columns) -> NDArray[np.floating]:
        """Ask about texts. [rows, labels], float64"""
        return self.record.outcome.probabilities(self.logits(columns).astype(np.float64))

    def classes(self) -> NDArray[Any]:
        """The labels as whoever trained it wrote them, sorted; as text if they wrote none."""
        return np.array(sorted(self.record.classes or self.record.labels))

    def save(self, folder: Path) -> None:
        """Write everything that `open_student` and transformers read; the folder may be new."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save(folder)
        write_record(folder, self.record)
        (folder / CARD).write_text(self.card, encoding="utf-8")

    def __getstate__(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="pet-") as room:
            self.save(Path(room))
            files = {path.name: path.read_bytes() for path in Path(room).iterdir()}
        return {
            "files": files,
            "precision": getattr(self.model, "precision", "auto"),
            "tokens_per_batch": self.tokens_per_batch,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory(prefix="pet-") as room:
            for name, content in state["files"].items():
                (Path(room) / name).write_bytes(content)
            student = open_student(
                Path(room), precision=state["precision"], tokens_per_batch=state["tokens_per_batch"]
            )
        self.__dict__.update(student.__dict__)


def open_student(
    folder: Path,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Student:
    """Load a student from its folder.

    Raises:
        InputError: as `read_student_record`, or the weights are not those of a whole classifier.
    """
    record = read_student_record(folder)
    if record.max_length is None:
        model: Classifier | WordClassifier = _load_linear(folder, record.labels)
    else:
        model = Classifier.load(str(folder), choose_device(device), precision=precision)
        if tuple(model.module.config.id2label.values()) != record.labels:
            raise _no_record(folder, "one of other labels than the weights are of")
    return Student(model, record, read_card(folder), tokens_per_batch)


def _load_linear(folder: Path, labels: Sequence[str]) -> WordClassifier:
    try:
        return load_word_classifier(folder, len(labels))
    except ValueError as error:
        raise _no_record(folder, f"a damaged linear student: {error}") from None


def student_outcome(run: StoredRun) -> Outcome:
    """Return what a text's labels can be, with the thresholds of a run's student."""
    if not isinstance(run.outcome, AnyLabels):
        return run.outcome
    return replace(run.outcome, decided=thresholds_of(run.folder / "student"))


def read_card(folder: Path) -> str:
    """Return the text that describes a student; anyone may have edited it, and it is not needed."""
    card = folder / CARD
    return card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""


def as_student(
    config: RunConfig,
    task: Task,
    model: Classifier | WordClassifier,
    thresholds: tuple[float, ...] = (),
) -> Student:
    """Return a run's student, or a baseline, around its model."""
    record = record_of(task, config, thresholds)
    return Student(model, record, tokens_per_batch=config.tokens_per_batch)


def load_student(
    config: RunConfig, task: Task, folder: Path, thresholds: tuple[float, ...] = ()
) -> Student:
    """Load a student or a baseline of a run, on the run's device.

    Raises:
        InputError: the folder holds none.
    """
    if config.linear_student:
        model: Classifier | WordClassifier = _load_linear(folder, task.labels)
    else:
        device = choose_device(config.device)
        model = Classifier.load(str(folder), device, precision=config.precision)
    return replace(as_student(config, task, model, thresholds), card=read_card(folder))
