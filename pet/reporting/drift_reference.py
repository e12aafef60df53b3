"""The reference for drift: sketches of a run's texts and of its models' predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.data.label_values import indicators
from pet.data.pool import SEVERAL
from pet.ensemble.logits import read_logits
from pet.errors import InputError, Problem
from pet.inputs.pool_sample import load_unlabeled
from pet.inputs.session import Session
from pet.method.drift import LabelSketch, Sketch, empty_labels, sketch_labels, sketch_texts
from pet.method.outcomes import Outcome
from pet.storage.files import read_record, write_json
from pet.storage.units import Unit, fingerprint, make_unit
from pet.student.answered_rows import read_predicted
from pet.student.label_choice import LabelChoice
from pet.student.scored_rows import STUDENT_SCORES
from pet.student.soft_labels import decided_outcome
from pet.student.student_folder import student_outcome
from pet.tasks.task import Task

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


def sketch_label_files(folder: Path, task: Task, who: str, config: RunConfig) -> LabelSketch:
    """Count labels and confidence over a folder's label files, one after another.

    Args:
        who: the model whose labels are counted.
    """
    labels, several = task.labels, task.several
    places, given = {label: i for i, label in enumerate(labels)}, SEVERAL if several else "label"
    found = empty_labels(len(labels), several=several)
    for path in sorted(folder.glob("part-*.parquet")):
        table = read_predicted(path, [given, "confidence", "source"], config)
        table = table.filter(pc.equal(table["source"], who))
        own: NDArray[Any]
        names = table[given].to_pylist()
        if several:
            own = indicators(names, labels)
        else:
            own = np.array([places[label] for label in names], np.int64)
        found += sketch_labels(own, table["confidence"].to_numpy(), len(labels))
    return found


def _sketch_student(session: Session, choice: LabelChoice) -> LabelSketch:
    """Count the student's predictions: in label files, and of the rows that the ensemble labels."""
    found = sketch_label_files(session.folder / "labels", session.task, "student", session.config)
    if choice.model == "ensemble":
        logits = read_logits(session.folder / "evaluation" / STUDENT_SCORES)[1]
        outcome = student_outcome(session)
        found += _sketch(outcome, outcome.probabilities(logits))
    return found


def _sketch_soft_labels(session: Session) -> LabelSketch:
    """Count the ensemble's predictions for the rows that it scored.

    Soft labels are its probabilities at the student's temperature: that is taken back.
    """
    outcome, task = decided_outcome(session), session.task
    found = empty_labels(len(task.labels), several=task.several)
    for path in sorted((session.folder / "soft_labels").glob("part-*.parquet")):
        soft = read_logits(path)[1]
        found += _sketch(outcome, outcome.unsoften(soft, session.config.temperature))
    return found


def _sketch(outcome: Outcome, probabilities: NDArray[np.floating]) -> LabelSketch:
    chosen = outcome.choose(probabilities)
    confidence = outcome.confidence(probabilities, chosen)
    return sketch_labels(chosen, confidence, probabilities.shape[1])


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
