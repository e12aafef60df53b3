"""Labels out: every usable row of a pool with its probabilities, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.data import Pool, PoolBatch
from pet.ensembling import entropy
from pet.errors import InputError, Problem
from pet.logits import stored_fingerprint
from pet.progress import Observer, Tick
from pet.runs import fingerprint, read_json, write_json
from pet.tables import write_parquet


@dataclass(frozen=True)
class Predictions:
    """Probabilities [rows, labels], and the share of members that agree [rows], NaN if unknown."""

    probabilities: NDArray[np.floating]
    agreement: NDArray[np.floating]


LABELS_DONE = ".done.json"  # a hidden name: readers of a folder of Parquet files pass it over
Say = Callable[[PoolBatch, Tick], Predictions]


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
    pool: Pool, folder: Path, labels: tuple[str, ...], say: Say, *, model: str, shard_rows: int,
    abstain_below: float, keep_columns: tuple[str, ...], metadata: Mapping[str, str],
    observer: Observer,
) -> tuple[int, int]:  # fmt: skip
    """Label a pool into `folder/part-*.parquet`; shards that are there and up to date stay.

    Args:
        say: what the model says of a batch of rows.
        model: the fingerprint of the model and of the pool's content.

    Returns:
        (shards written, shards reused)
    """
    total = pool.count_rows()
    written = reused = 0
    done = folder / LABELS_DONE
    if (read_json(done) or {}).get("source") != model:
        done.unlink(missing_ok=True)  # written last, it says that the folder is whole
    with observer.stage("labeling the pool", total, "rows") as tick:
        for shard, batch in enumerate(pool.batches(shard_rows, keep_columns)):
            path = folder / f"part-{shard:05d}.parquet"
            expected = fingerprint(
                model=model, shard=shard, rows=shard_rows, abstain=abstain_below, keep=keep_columns
            )
            if stored_fingerprint(path) == expected:
                reused += 1
                tick(len(batch.rows) + len(batch.rejected))
                continue
            table = label_table(batch, say(batch, tick), labels, abstain_below)
            tick(len(batch.rejected))
            write_parquet(path, table, {**metadata, "source": model, "fingerprint": expected})
            written += 1
    for path in folder.glob("part-*.parquet"):
        if int(path.stem.removeprefix("part-")) >= written + reused:
            path.unlink()  # of an earlier, longer pool
    whole = {"source": model, "shards": written + reused, "rows": total}
    if read_json(done) != whole:
        write_json(done, whole)
    return written, reused


def refuse_other_labels(folder: Path, model: str) -> None:
    """Protect label files that another model wrote, or that are of another pool.

    Raises:
        InputError: the folder holds such files.
    """
    for path in sorted(folder.glob("*.parquet")):
        try:
            stored = pq.read_metadata(path).metadata or {}
        except pa.ArrowInvalid:
            stored = {}
        if stored.get(b"source", b"").decode() != model:
            raise InputError(
                Problem(str(folder), "an empty folder, or labels of the same model and pool",
                        f"{path.name}, made from something else", "choose another --out")
            )  # fmt: skip


def count_labels(folder: Path, labels: tuple[str, ...]) -> dict[str, Any]:
    """Count what was written: rows per label, rows that abstain, mean confidence."""
    counts = dict.fromkeys(labels, 0)
    abstained, rows, confidence = 0, 0, 0.0
    for path in sorted(folder.glob("part-*.parquet")):
        table = pq.read_table(path, columns=["label", "abstain", "confidence"])
        for entry in pc.value_counts(table["label"]).to_pylist():
            counts[entry["values"]] += entry["counts"]
        abstained += pc.sum(table["abstain"]).as_py() or 0
        confidence += pc.sum(table["confidence"]).as_py() or 0.0
        rows += len(table)
    return {
        "counts": counts,
        "rows": rows,
        "abstained": abstained,
        "mean_confidence": round(confidence / max(rows, 1), 4),
    }
