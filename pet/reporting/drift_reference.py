"""The reference for drift: sketches of a run's texts and of its models' predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from pet.config import RunConfig
from pet.ensemble.logits import read_logits
from pet.errors import InputError, Problem
from pet.inputs.pool_sample import load_unlabeled
from pet.inputs.session import Session
from pet.method.cross_fitting import unsoften
from pet.method.drift import LabelSketch, Sketch, empty_labels, sketch_labels, sketch_texts
from pet.method.ensembling import softmax
from pet.storage.files import read_record, write_json
from pet.storage.units import Unit, fingerprint, make_unit
from pet.student.answered_rows import read_predicted
from pet.student.label_choice import LabelChoice
from pet.student.scored_rows import STUDENT_SCORES

REFERENCE = "reference"


def write_reference(session: Session, labels: Unit, soft: Unit, choice: LabelChoice) -> Unit:
    """Sketch the sampled pool rows, and the predictions of student and ensemble.

    A few kilobytes, whatever the pool's size: drift is measured without reading the pool again.
    The student's are its own of all rows, whoever labels the pool: of new files the student's are
    compared with them.
    """
    folder, task = session.folder, session.task

    def build(target: Path) -> None:
        unlabeled = load_unlabeled(folder)
        rows = zip(*(unlabeled.columns[name] for name in task.fields), strict=True)
        texts = sketch_texts("\n".join(row) for row in rows)
        sketches = {
            "student": _sketch_student(session, choice),
            "ensemble": _sketch_soft_labels(session),
        }
        for who, sketch in sketches.items():
            write_json(target / f"{who}.json", Sketch(texts, sketch).as_json())

    expected = fingerprint(unit=REFERENCE, labels=labels.fingerprint, soft=soft.fingerprint)
    return make_unit(folder / REFERENCE, expected, build)


def sketch_label_files(
    folder: Path, labels: Sequence[str], who: str, config: RunConfig
) -> LabelSketch:
    """Count labels and confidence over a folder's label files, one after another.

    Args:
        who: the model whose labels are counted.
    """
    places = {label: index for index, label in enumerate(labels)}
    found = empty_labels(len(labels))
    for path in sorted(folder.glob("part-*.parquet")):
        table = read_predicted(path, ["label", "confidence", "source"], config)
        table = table.filter(pc.equal(table["source"], who))
        indices = np.array([places[label] for label in table["label"].to_pylist()], np.int64)
        found += sketch_labels(indices, table["confidence"].to_numpy(), len(labels))
    return found


def _sketch_student(session: Session, choice: LabelChoice) -> LabelSketch:
    """Count the student's predictions: in label files, and of the rows that the ensemble labels."""
    labels = session.task.labels
    found = sketch_label_files(session.folder / "labels", labels, "student", session.config)
    if choice.model == "ensemble":
        logits = read_logits(session.folder / "evaluation" / STUDENT_SCORES)[1]
        found += sketch_labels(logits.argmax(axis=1), softmax(logits).max(axis=1), len(labels))
    return found


def _sketch_soft_labels(session: Session) -> LabelSketch:
    """Count the ensemble's predictions for the rows that it scored.

    Soft labels are its probabilities at the student's temperature: that is taken back.
    """
    count = len(session.task.labels)
    found = empty_labels(count)
    for path in sorted((session.folder / "soft_labels").glob("part-*.parquet")):
        probabilities = unsoften(read_logits(path)[1], session.config.temperature)
        found += sketch_labels(probabilities.argmax(axis=1), probabilities.max(axis=1), count)
    return found


def read_reference(folder: Path, who: str) -> Sketch:
    """Read the sketch that a run holds.

    Raises:
        InputError: there is none, as in runs of earlier versions.
    """
    path = folder / REFERENCE / f"{who}.json"
    try:
        return Sketch.from_json(read_record(path))
    except (TypeError, ValueError):
        raise InputError(
            Problem(
                str(folder),
                "a run with a reference for drift",
                f"no readable {REFERENCE}/{path.name}",
                "give its `pet run` command again: only what is missing is made",
            )
        ) from None
