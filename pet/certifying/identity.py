"""Labels, model and pool of a run, named by their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pet.errors import InputError, Problem
from pet.finished.finished_run import FinishedRun, refuse_changed
from pet.storage.files import read_json, read_parquet_batches
from pet.storage.run_folders import recorded_inputs
from pet.storage.units import LABELS_DONE

BINS = 1 << 20  # of confidence: a threshold is a multiple of 2^-20, which float32 has exactly

BATCH = 50_000  # rows of labels read at a time

COLUMNS = ("id", "label", "confidence", "probabilities")


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


def label_batches(run: FinishedRun) -> Iterator[pa.RecordBatch]:
    """Read a run's labels in the order of the pool.

    Raises:
        InputError: they are not whole.
    """
    for path in label_files(run):
        yield from read_parquet_batches(path, BATCH, COLUMNS)


def level_bins(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the step of confidence, of BINS, that each value has reached. [rows]"""
    return np.floor(np.clip(values.astype(np.float64), 0, 1) * BINS).astype(np.int64)


def confidences(batch: pa.RecordBatch) -> NDArray[np.float32]:
    """Return the confidence of each row; 0 where there is none. [rows]"""
    values = batch.column("confidence").to_numpy(zero_copy_only=False)
    return np.nan_to_num(values.astype(np.float32), nan=0.0)


def identity_of(run: FinishedRun) -> dict[str, str]:
    """Name what a certificate is about: the digests of labels, model and pool.

    The labels' digest is of ids, labels and confidences alone: columns that a certificate adds
    do not change it.

    Raises:
        InputError: the labels are not whole, or the student is not as it was made.
    """
    labels = hashlib.sha256()
    for batch in label_batches(run):
        rows = json.dumps([batch.column("id").to_pylist(), batch.column("label").to_pylist()])
        labels.update(rows.encode())
        labels.update(confidences(batch).tobytes())
    student = refuse_changed(run.folder / "student")
    return {
        "labels": labels.hexdigest(),
        "model": digest_of([student.get("files"), run.fingerprint_of("soft_labels")]),
        "pool": str(recorded_inputs(run.folder).get("pool")),
    }


def digest_of(value: Any) -> str:
    """Return the sha256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
