"""The student by itself: its folder says which fields it reads, so that it can be asked."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pet
from pet.compilation import plain_encoder
from pet.encoding import Encoder
from pet.ensembling import softmax
from pet.errors import InputError, Problem
from pet.formats import FORMAT, check_format
from pet.loading import choose_device
from pet.models import Classifier, Precision
from pet.progress import Tick, no_tick
from pet.runs import read_json, write_json
from pet.scoring import Columns, score_columns
from pet.tasks import Task

RECORD = "pet.json"
CARD = "README.md"
TOKENS_PER_BATCH = 8192


@dataclass(frozen=True)
class Record:
    """What transformers' own files do not say of a student.

    Attributes:
        task: the task's name.
        labels: in the order of the student's scores.
        fields: the columns that it reads, in order.
        max_length: tokens that a text is cut to.
        classes: the labels as whoever trained it wrote them in Python (1 for "1"), if they did.
    """

    task: str
    labels: tuple[str, ...]
    fields: tuple[str, ...]
    max_length: int
    classes: tuple[Any, ...] = ()


def record_of(task: Task, max_length: int) -> Record:
    """Describe the student of a task."""
    return Record(task.name, task.labels, task.fields, max_length)


def write_record(folder: Path, record: Record) -> None:
    """Write `pet.json` beside a student's weights, in a folder that is in the making."""
    content = {"format": FORMAT, "pet": pet.__version__, **asdict(record)}
    write_json(folder / RECORD, content)


def read_record(folder: Path) -> Record:
    """Read what a student reads and says.

    Raises:
        InputError: no student is there, or one of a newer version or without a usable record.
    """
    content: Any = read_json(folder / RECORD)
    if isinstance(content, dict):
        check_format(folder / RECORD, content)
    try:
        return Record(
            str(content["task"]), tuple(map(str, content["labels"])),
            tuple(map(str, content["fields"])), int(content["max_length"]),
            tuple(content["classes"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        found = "none" if content is None else "one that is damaged"
        raise InputError(
            Problem(str(folder), f"a student's folder, with its {RECORD}", found,
                    "give the folder of a finished run, or what `pet export` or `save` wrote")
        ) from None  # fmt: skip


@dataclass
class Student:
    """A classifier in memory, ready to be asked.

    It pickles as the bytes of its files, on whatever device it was; unpickling loads them anew.
    """

    model: Classifier
    record: Record
    card: str = ""
    tokens_per_batch: int = field(default=TOKENS_PER_BATCH, repr=False)

    def encoder(self) -> Encoder:
        """Return what turns its fields into the ids that it reads."""
        return plain_encoder(self.model.tokenizer, self.record.fields, self.record.max_length)

    def logits(self, columns: Columns, tick: Tick = no_tick) -> NDArray[np.float32]:
        """Ask about texts. [rows, labels]"""
        return score_columns(self.model, self.encoder(), columns, self.tokens_per_batch, tick)

    def probabilities(self, columns: Columns) -> NDArray[np.floating]:
        """Ask about texts. [rows, labels], float64"""
        return softmax(self.logits(columns).astype(np.float64))

    def classes(self) -> NDArray[Any]:
        """The labels as whoever trained it wrote them, sorted; as text if they wrote none."""
        return np.array(sorted(self.record.classes or self.record.labels))

    def save(self, folder: Path) -> None:
        """Write everything that `open_student` and transformers read; the folder may be new."""
        self.model.save(folder)
        write_record(folder, self.record)
        (folder / CARD).write_text(self.card, encoding="utf-8")

    def __getstate__(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(prefix="pet-") as room:
            self.save(Path(room))
            files = {path.name: path.read_bytes() for path in Path(room).iterdir()}
        return {
            "files": files,
            "precision": self.model.precision,
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
    folder: Path, *, device: str = "auto", precision: Precision = "auto",
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Student:  # fmt: skip
    """Load a student from its folder.

    Raises:
        InputError: as `read_record`, or the weights are not those of a whole classifier.
    """
    record = read_record(folder)
    model = Classifier.load(str(folder), choose_device(device), precision=precision)
    card = folder / CARD
    return Student(
        model, record, card.read_text(encoding="utf-8") if card.exists() else "", tokens_per_batch
    )
