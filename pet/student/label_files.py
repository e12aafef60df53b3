"""Labels out: every usable row of a pool with its probabilities, shard by shard."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import pet
from pet.config import RunConfig
from pet.data.pool import Pool, PoolBatch, RejectedRow
from pet.ensemble.logits import stored_fingerprint
from pet.errors import InputError, Problem
from pet.inputs.pool_sample import REJECTED_SCHEMA
from pet.method.ensembling import entropy
from pet.progress import Observer, Tick
from pet.storage.files import TEMPORARY_PREFIX, read_json, sweep, write_json, write_parquet, writing
from pet.storage.locks import LOCK
from pet.storage.mirrors import LABEL_FILE
from pet.storage.run_folders import ALL_LABELS, RunFolder
from pet.storage.units import LABELS_DONE, fingerprint


@dataclass(frozen=True)
class Predictions:
    """Probabilities [rows, labels], and the share of members that agree [rows], NaN if unknown."""

    probabilities: NDArray[np.floating]
    agreement: NDArray[np.floating]


# Readers of a folder of Parquet files pass over names that begin with a point or an underscore.
LABELS_REJECTED = "_rejected.parquet"

OURS = re.compile(rf"{re.escape(LOCK)}|{re.escape(TEMPORARY_PREFIX)}.*|{LABELS_REJECTED}")

CONFIDENCE_BINS = 20  # of 0.05 each

Say = Callable[[PoolBatch, Tick], Predictions]


def label_metadata(task: str, run: str | None, model: str, who: str) -> dict[str, str]:
    """Say in a label file where its labels come from, by whatever way they were made.

    Args:
        run: the run's id; None for labels that were made without one.
        model: the fingerprint of the model.
        who: student, ensemble or zero-shot.
    """
    of_run = {} if run is None else {"run": run}
    return {
        "task": task,
        **of_run,
        "model": model,
        "labeled_with": who,
        "pet": pet.__version__,
    }


def label_into(
    out: RunFolder,
    pool: Pool,
    labels: tuple[str, ...],
    note: Say,
    *,
    source: str,
    config: RunConfig,
    metadata: Mapping[str, str],
    observer: Observer,
) -> tuple[int, int, dict[str, Any]]:
    """Label a pool into a folder of its own; what cannot be used goes to `_rejected.parquet`.

    Args:
        source: the fingerprint of the model and of the pool's content.

    Returns:
        (shards written, shards reused, counts as of `count_labels` and of rejected rows)
    """
    folder = out.path
    rejected = folder / LABELS_REJECTED
    with out.locked(observer.note):
        sweep(folder, below=False)  # folders in it may be those of others
        written, reused = write_labels(
            pool,
            folder,
            labels,
            note,
            model=source,
            shard_rows=config.shard_rows,
            abstain_below=config.abstain_below,
            keep_columns=config.keep_columns,
            metadata=metadata,
            observer=observer,
            rejected=rejected,
            keep=lambda path: out.push([path]),
        )
        out.push()
    counts = count_labels(folder, labels)
    counts["rejected"] = pq.read_metadata(rejected).num_rows
    counts["rejected_file"] = f"{out}/{LABELS_REJECTED}"
    return written, reused, counts


@contextlib.contextmanager
def set_aside(path: Path | None, source: str) -> Iterator[Callable[[Sequence[RejectedRow]], None]]:
    """Yield the function that puts unusable rows into a file, which appears when it is whole."""
    if path is None or stored_fingerprint(path) == source:
        yield lambda rows: None
        return
    schema = REJECTED_SCHEMA.with_metadata({"source": source, "fingerprint": source})
    with (
        writing(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as file,
    ):

        def reject(rows: Sequence[RejectedRow]) -> None:
            if rows:
                file.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema))

        yield reject


def label_table(
    batch: PoolBatch, said: Predictions, labels: tuple[str, ...], abstain_below: float
) -> pa.Table:
    """Lay out label files: one row per pool row, as the README's table says."""
    probabilities = said.probabilities
    confidence = probabilities.max(axis=1)
    best = probabilities.argmax(axis=1)
    columns = [pa.array(probabilities[:, i], pa.float32()) for i in range(len(labels))]
    agreement = pa.array(said.agreement, pa.float32(), mask=np.isnan(said.agreement))
    own = {} if batch.kept is None else {n: batch.kept[n] for n in batch.kept.column_names}
    return pa.table(
        {
            "id": pa.array(batch.ids, pa.string()),
            **own,
            "label": pa.array([labels[i] for i in best], pa.string()),
            "confidence": pa.array(confidence, pa.float32()),
            "probabilities": pa.StructArray.from_arrays(columns, names=list(labels)),
            "entropy": pa.array(entropy(probabilities), pa.float32()),
            "agreement": agreement,
            "abstain": pa.array(confidence < abstain_below),
        }
    )


def write_labels(
    pool: Pool,
    folder: Path,
    labels: tuple[str, ...],
    note: Say,
    *,
    model: str,
    shard_rows: int,
    abstain_below: float,
    keep_columns: tuple[str, ...],
    metadata: Mapping[str, str],
    observer: Observer,
    rejected: Path | None = None,
    shards: range | None = None,
    total: int | None = None,
    keep: Callable[[Path], None] = lambda path: None,
) -> tuple[int, int]:
    """Label a pool into `folder/part-*.parquet`; shards that are there and up to date stay.

    Args:
        say: what the model says of a batch of rows.
        model: the fingerprint of the model and of the pool's content.
        rejected: the file for the rows that cannot be used, if one is wanted.
        shards: the part of the pool to label, of several that are labeled side by side: whoever
            has them labeled then says that the folder is whole, by `close_labels`.
        total: rows of the pool, where they are known: to count them may take as long as to read.
        keep: what to do with each file that was written.

    Returns:
        (shards written, shards reused)
    """
    total = pool.count_rows() if total is None else total
    mine = shards or range(count_shards(total, shard_rows))
    rows = min(total, mine.stop * shard_rows) - mine.start * shard_rows
    written = reused = 0
    done = folder / LABELS_DONE
    with (
        observer.stage("labeling the pool", rows, "rows") as tick,
        set_aside(rejected, model) as reject,
    ):
        batches = pool.batches(shard_rows, keep_columns, first=mine.start)
        for shard, batch in zip(mine, batches, strict=False):
            reject(batch.rejected)
            path = folder / f"part-{shard:05d}.parquet"
            expected = fingerprint(
                model=model, shard=shard, rows=shard_rows, abstain=abstain_below, keep=keep_columns
            )
            if stored_fingerprint(path) == expected:
                reused += 1
                tick(len(batch.rows) + len(batch.rejected))
                continue
            table = label_table(batch, note(batch, tick), labels, abstain_below)
            tick(len(batch.rejected))
            done.unlink(missing_ok=True)  # written last, it says that the folder is whole
            write_parquet(path, table, {**metadata, "source": model, "fingerprint": expected})
            keep(path)
            written += 1
    if shards is None:
        close_labels(folder, model, len(mine), total)
    return written, reused


def count_shards(rows: int, shard_rows: int) -> int:
    """Return how many files the labels of so many pool rows are cut into."""
    return -(-rows // shard_rows)


def close_labels(folder: Path, model: str, shards: int, rows: int) -> None:
    """Say that a folder of labels is whole; what is there of an earlier, longer pool goes.

    Args:
        model: the fingerprint of the model and of the pool's content.
        rows: of the pool, usable or not.
    """
    for path in folder.glob("part-*.parquet"):
        if int(path.stem.removeprefix("part-")) >= shards:
            path.unlink()
    done = folder / LABELS_DONE
    whole = {"source": model, "shards": shards, "rows": rows}
    if read_json(done) != whole:
        write_json(done, whole)


def refuse_other_labels(out: RunFolder, model: str) -> None:
    """Protect label files that another model wrote, or of another pool, and other people's files.

    Raises:
        InputError: the folder holds such files.
    """
    names = out.names()
    others = sorted(name for name in names if not OURS.fullmatch(name))
    if others and LABELS_DONE not in others and not any(map(LABEL_FILE.fullmatch, others)):
        raise InputError(
            Problem(
                str(out),
                "an empty folder, or one that does not exist yet",
                f"a folder with other files ({', '.join(others[:4])})",
                "choose another --out",
            )
        )
    out.fetch(labels=ALL_LABELS)
    for path in sorted(out.path.glob("*.parquet")) if names else ():
        try:
            stored = pq.read_metadata(path).metadata or {}
        except pa.ArrowInvalid:
            stored = {}
        if stored.get(b"source", b"").decode() != model:
            raise InputError(
                Problem(
                    str(out),
                    "an empty folder, or labels of the same model and pool",
                    f"{path.name}, made from something else",
                    "choose another --out",
                )
            )


def count_labels(folder: Path, labels: tuple[str, ...]) -> dict[str, Any]:
    """Count what was written, shard by shard: rows per label and per bin of confidence.

    Returns:
        `counts` and `abstained_of` (rows, and those that abstain, per label), `rows`, `abstained`,
        `mean_confidence`, `confidence_counts` (rows in bins of equal width from 0 to 1).
    """
    counts, abstained = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
    bins = np.zeros(CONFIDENCE_BINS, dtype=np.int64)
    confidence = 0.0
    for path in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(path, columns=["label", "abstain", "confidence"])
        of_label = table.group_by("label").aggregate([("abstain", "count"), ("abstain", "sum")])
        for entry in of_label.to_pylist():
            counts[entry["label"]] += entry["abstain_count"]
            abstained[entry["label"]] += entry["abstain_sum"]
        values = np.clip(table["confidence"].to_numpy(), 0, 1)
        bins += np.histogram(values, CONFIDENCE_BINS, (0, 1))[0]
        confidence += float(values.sum(dtype=np.float64))
    rows = sum(counts.values())
    return {
        "counts": counts,
        "rows": rows,
        "abstained": sum(abstained.values()),
        "abstained_of": abstained,
        "mean_confidence": round(confidence / max(rows, 1), 4),
        "confidence_counts": bins.tolist(),
    }
