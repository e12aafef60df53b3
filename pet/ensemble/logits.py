"""Files of label scores: written once, named by what they were made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.progress import Observer, Tick
from pet.storage.files import read_parquet, write_parquet
from pet.storage.units import Unit


def write_logits(
    observer: Observer,
    path: Path,
    expected: str,
    stage: str,
    rows: int | None,
    make: Callable[[Tick], tuple[list[str], NDArray[np.float32]]],
) -> Unit:
    """Write a file of logits, unless it is there and was made from the same things."""

    def make_one(places: list[int], tick: Tick) -> tuple[list[str], NDArray[np.float32]]:
        ids, logits = make(tick)
        return ids, logits[None]

    return write_logits_of(observer, [path], [expected], stage, rows, make_one)[0]


def write_logits_of(
    observer: Observer,
    paths: Sequence[Path],
    expected: Sequence[str],
    stage: str,
    rows: int | None,
    make: Callable[[list[int], Tick], tuple[list[str], NDArray[np.float32]]],
) -> list[Unit]:
    """Write files of logits of the same rows, those that are not there or of other things.

    Args:
        make: gets the places of the files that are wanted; returns ids, and logits.
            [places, rows, width]
    """
    known = [stored_fingerprint(path) for path in paths]
    wanted = [place for place, own in enumerate(expected) if known[place] != own]
    if wanted:
        with observer.stage(f"scoring {stage}", rows, "rows") as tick:
            ids, logits = make(wanted, tick)
        for place, own in zip(wanted, logits, strict=True):
            table = logits_table(ids, own)
            write_parquet(paths[place], table, {"fingerprint": expected[place]})
    return [
        Unit(path, own, place not in wanted, "" if place in wanted else "up to date")
        for place, (path, own) in enumerate(zip(paths, expected, strict=True))
    ]


def logits_table(ids: Sequence[str], logits: NDArray[np.floating]) -> pa.Table:
    """Put row ids and a row of label scores each into a table: id, scores."""
    flat = pa.array(logits.astype(np.float32).ravel())
    scores = pa.FixedSizeListArray.from_arrays(flat, logits.shape[1])
    return pa.table({"id": pa.array(ids, pa.string()), "scores": scores})


def stored_fingerprint(path: Path) -> str | None:
    """Return the fingerprint that a Parquet file was written with, if it is whole.

    Every page is read and held against its checksum: a footer alone does not vouch for the rest.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            stored = file.metadata.metadata or {}
            for _ in file.iter_batches():
                pass
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return None
    return stored.get(b"fingerprint", b"").decode() or None


def read_logits(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Read a file of logits: row ids, and [rows, labels].

    Raises:
        PetError: it is missing or damaged.
    """
    table = read_parquet(path)
    scores = table["scores"].combine_chunks()
    width = scores.type.list_size
    return table["id"].to_pylist(), scores.flatten().to_numpy().reshape(-1, width)
