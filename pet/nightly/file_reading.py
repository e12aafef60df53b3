"""A pool file read to its end before it is labeled, in a process with limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pet.data.data_files import CsvFormat
from pet.data.limited_process import call_limited
from pet.data.pool import pool_of
from pet.data.readers import open_source
from pet.data.rejections import Rejections
from pet.errors import InputError, Problem
from pet.method.drift import TextSketch, empty_texts, sketch_texts
from pet.progress import Observer

SKETCHED_ROWS = 50_000  # texts of a file that are sketched; a uniform sample if there are more


def read_limited(request: Mapping[str, Any], observer: Observer) -> TextSketch:
    """Read a file as it will be read to be labeled; return what its texts are like.

    Args:
        request: the arguments of `read_whole`; all of them can be written as JSON.

    Raises:
        InputError: it cannot be used.
        ReadingFailed: it could not be read this time.
    """
    name, size = request["name"], os.stat(request["path"]).st_size
    with observer.stage(f"reading {name}", None, "rows"):
        found = call_limited(
            f"{__name__}:read_whole", request, name=name, size=size, observer=observer
        )
    return TextSketch(np.array(found["lengths"]), np.array(found["words"]))


def read_whole(
    path: str,
    name: str,
    columns: Mapping[str, str],
    written: Mapping[str, Any],
    id_column: str | None,
    keep_columns: tuple[str, ...],
    shard_rows: int,
    max_rejected: float,
    seed: int,
    observer: Observer,
) -> dict[str, list[int]]:
    """Read a file to its end; return a sketch of its texts, part by part.

    Args:
        columns: field -> column, in the order of the task's fields.
        written: how CSV is written: a `CsvFormat`, part by part.

    Raises:
        InputError: it cannot be used, or too many of its rows cannot.
        PetError: it could not be read.
    """
    source = open_source(Path(path), name, CsvFormat(**written))
    pool = pool_of(
        Path(path),
        [source],
        list(columns),
        columns=columns,
        id_column=id_column,
        keep_columns=keep_columns,
    )
    total, rejected = pool.count_rows(), Rejections()
    if not total:
        raise InputError(Problem(name, "at least one row", "none", "write or copy it again"))
    rng = np.random.default_rng(seed)
    found = empty_texts()
    kept = pool.keepable_beside_labels(keep_columns, observer.note)
    with observer.stage(f"reading {name}", total, "rows") as tick:
        for batch in pool.batches(shard_rows, kept):
            rejected.add(batch.rejected)
            chosen = np.flatnonzero(rng.random(len(batch)) < SKETCHED_ROWS / total)
            texts = [batch.columns[field] for field in columns]
            found += sketch_texts("\n".join(text[i] for text in texts) for i in chosen)
            tick(len(batch) + len(batch.rejected))
    if len(rejected) > max_rejected * total:
        raise InputError(
            Problem(
                name,
                f"at most {max_rejected:.0%} unusable rows",
                f"{len(rejected):,} of {total:,}: {rejected}",
                f"{rejected.fix('correct the rows')}; the file is read again then",
            )
        )
    return {"lengths": found.lengths.tolist(), "words": found.words.tolist()}
