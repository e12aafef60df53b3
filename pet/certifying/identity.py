"""Labels, model and pool of a run, named by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pet.certifying.ledger import all_answers
from pet.data.pool import SEVERAL
from pet.errors import InputError, Problem
from pet.finished.finished_run import FinishedRun, refuse_changed
from pet.reviewing.answer_form import AnswerForm
from pet.storage.files import read_json, read_parquet_batches, stored_columns
from pet.storage.run_folders import recorded_inputs
from pet.storage.units import LABELS_DONE
from pet.student.answered_rows import PERSON, answer_columns

BINS = 1 << 20  # of confidence: a threshold is a multiple of 2^-20, which float32 has exactly

BATCH = 50_000  # rows of labels read at a time


def label_files(run: FinishedRun) -> list[Path]:
    """List a run's label files, in the order of the pool.

    Raises:
        InputError: they are not whole.
    """
    folder = run.folder / "labels"
    paths = sorted(folder.glob("part-*.parquet"))
    if not paths or (read_json(folder / LABELS_DONE) or {}).get("shards") != len(paths):
        raise InputError(
            Problem(
                str(folder),
                "the labels of the whole pool",
                f"{len(paths):,} files, and no record that these are all",
                "give the run's `pet run` command again",
            )
        )
    return paths


def label_batches(run: FinishedRun, *columns: str) -> Iterator[pa.RecordBatch]:
    """Read a run's labels as the model made them, in the order of the pool.

    Where a person's answer stands instead, it is taken back, if it is one that was recorded:
    labels that were changed by other hands are read as they are. Of several labels a text, `label`
    is all of a row's, as `AnswerForm` writes them.

    Args:
        columns: to read beside `id`, `label` and `confidence`.

    Raises:
        InputError: they are not whole, or a draw is missing.
    """
    answers, own = all_answers(run.folder), answer_columns(run.config)
    form = AnswerForm.of(run.task)
    given = SEVERAL if form.several else "label"
    names = ["id", "label", "confidence", *columns]
    for path in label_files(run):
        stored = [given if name == "label" else name for name in names]
        answered = bool(answers) and own.predicted in stored_columns(path)
        if answered:
            stored += ["source", own.predicted]
        for batch in read_parquet_batches(path, BATCH, stored):
            if form.several:
                batch = _as_texts(batch, form, [SEVERAL, *([own.predicted] * answered)])
            if answered:
                batch = _as_predicted(batch, answers, own.predicted)
            yield batch.select(names)


def _as_texts(batch: pa.RecordBatch, form: AnswerForm, columns: Sequence[str]) -> pa.RecordBatch:
    """Write lists of labels as texts; the first of the columns is `label` then."""
    for name in columns:
        texts = [None if own is None else form.written(own) for own in batch[name].to_pylist()]
        place = batch.schema.get_field_index(name)
        renamed = "label" if name == SEVERAL else name
        batch = batch.set_column(place, renamed, pa.array(texts, pa.string()))
    return batch


def _as_predicted(
    batch: pa.RecordBatch, answers: Mapping[str, set[str]], predicted: str
) -> pa.RecordBatch:
    stored = (batch.column(name).to_pylist() for name in ("id", "label", "source", predicted))
    labels = [
        model if model is not None and source == PERSON and label in answers.get(id, ()) else label
        for id, label, source, model in zip(*stored, strict=True)
    ]
    return batch.set_column(
        batch.schema.get_field_index("label"), "label", pa.array(labels, pa.string())
    )


def level_bins(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the step of confidence, of BINS, that each value has reached. [rows]"""
    return np.floor(np.clip(values.astype(np.float64), 0, 1) * BINS).astype(np.int64)


def confidences(batch: pa.RecordBatch) -> NDArray[np.float32]:
    """Return the confidence of each row; 0 where there is none. [rows]"""
    values = batch.column("confidence").to_numpy(zero_copy_only=False)
    return np.nan_to_num(values.astype(np.float32), nan=0.0)


@dataclass(frozen=True)
class Known:
    """What one look at a run's labels finds.

    Attributes:
        identity: what a certificate is about: the digests of labels, model and pool.
        counts: labels that have reached each step of confidence, and no more. [BINS + 1]
    """

    identity: dict[str, str]
    counts: NDArray[np.int64]


def look_at(run: FinishedRun) -> Known:
    """Name a run's labels, model and pool, and count its labels by confidence.

    The labels' digest is of ids, the model's labels and confidences alone: what a certificate adds
    does not change it, and people's answers do not.

    Raises:
        InputError: the labels are not whole, or the student is not as it was made.
    """
    labels, counts = hashlib.sha256(), np.zeros(BINS + 1, np.int64)
    for batch in label_batches(run):
        rows = json.dumps([batch.column("id").to_pylist(), batch.column("label").to_pylist()])
        labels.update(rows.encode())
        values = confidences(batch)
        labels.update(values.tobytes())
        np.add.at(counts, level_bins(values), 1)
    student = refuse_changed(run.folder / "student")
    identity = {
        "labels": labels.hexdigest(),
        "model": digest_of([student.get("files"), run.fingerprint_of("soft_labels")]),
        "pool": str(recorded_inputs(run.folder).get("pool")),
    }
    return Known(identity, counts)


def digest_of(value: Any) -> str:
    """Return the sha256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
