"""Label files: every usable row of a pool with its probabilities, shard by shard."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

import pet
from pet.config import RunConfig
from pet.data.duplicate_ids import RepeatedIds
from pet.data.pool import SEVERAL, TREE_COLUMNS, Pool, PoolBatch
from pet.data.rejections import RejectedRow
from pet.ensemble.logits import stored_fingerprint
from pet.errors import InputError, Problem
from pet.inputs.pool_sample import REJECTED_SCHEMA
from pet.method.label_metrics import certainty
from pet.method.label_trees import LabelTree
from pet.method.outcomes import ONE, Outcome, Truth
from pet.progress import Observer, Tick
from pet.storage.files import (
    TEMPORARY_PREFIX,
    read_json,
    read_parquet,
    remove,
    sweep,
    write_json,
    write_parquet,
    writing,
)
from pet.storage.locks import LOCK
from pet.storage.mirrors import LABEL_FILE
from pet.storage.run_folders import ALL_LABELS, RunFolder
from pet.storage.units import LABELS_DONE, LABELS_REJECTED, fingerprint


@dataclass(frozen=True)
class Predictions:
    """What a model predicts of some rows.

    Attributes:
        probabilities: [rows, labels]
        agreement: the share of members that agree, NaN if unknown. [rows]
        source: which model it is: one for all rows, or each row's own. [rows]
        chosen: the labels that the model gives, where a text may have several: each model has
            thresholds of its own. [rows, labels]
        layers: the layer of the student that gave each label, from 1 on, where it has early
            exits; 0 of labels that are the ensemble's. [rows]
    """

    probabilities: NDArray[np.floating]
    agreement: NDArray[np.floating]
    source: str | NDArray[np.object_]
    chosen: Truth | None = None
    layers: NDArray[np.int64] | None = None


OURS = re.compile(rf"{re.escape(LOCK)}|{re.escape(TEMPORARY_PREFIX)}.*|{LABELS_REJECTED}")

REPORT_BINS = 20  # of confidence, 0.05 each; report.json stores them

NODE, LEVELS = TREE_COLUMNS

PredictBatch = Callable[[PoolBatch, Tick], Predictions]


def label_metadata(task: str, run: str | None, model: str, who: str) -> dict[str, str]:
    """Return what label files tell about the origin of their labels.

    Args:
        run: the run's id; None for labels that were made without a run.
        model: the fingerprint of the model.
        who: student, ensemble, both or zero-shot.
    """
    of_run = {} if run is None else {"run": run}
    return {
        "task": task,
        **of_run,
        "model": model,
        "labeled_with": who,
        "pet": pet.__version__,
    }


@contextlib.contextmanager
def set_aside(path: Path, source: str) -> Iterator[Callable[[Sequence[RejectedRow]], None]]:
    """Yield the function that puts unusable rows into a file, which appears when it is whole."""
    if stored_fingerprint(path) == source:
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
    batch: PoolBatch,
    predictions: Predictions,
    labels: tuple[str, ...],
    abstain_below: float,
    outcome: Outcome = ONE,
    tree: LabelTree | None = None,
) -> pa.Table:
    """Lay out a label file: one row per pool row, with the columns that the README lists.

    Where a text may have several labels, `labels` lists them in the place of `label`, and `abstain`
    says of each label whether its answer is in doubt. Labels of a tree bring two more columns.
    """
    probabilities = predictions.probabilities
    chosen = outcome.choose(probabilities) if predictions.chosen is None else predictions.chosen
    confidence = outcome.confidence(probabilities, chosen)
    columns = [pa.array(probabilities[:, i], pa.float32()) for i in range(len(labels))]
    unknown = np.isnan(predictions.agreement)
    agreement = pa.array(predictions.agreement, pa.float32(), mask=unknown)
    own = {} if batch.kept is None else {n: batch.kept[n] for n in batch.kept.column_names}
    return pa.table(
        {
            "id": pa.array(batch.ids, pa.string()),
            **own,
            **_given(chosen, labels, outcome),
            "confidence": pa.array(confidence, pa.float32()),
            "probabilities": pa.StructArray.from_arrays(columns, names=list(labels)),
            "entropy": pa.array(outcome.entropy(probabilities), pa.float32()),
            "agreement": agreement,
            "abstain": _in_doubt(probabilities, chosen, labels, abstain_below, outcome),
            "source": pa.array(np.full(len(chosen), predictions.source), pa.string()),
            **({} if tree is None else tree_columns(tree, probabilities, abstain_below)),
        }
    )


def tree_columns(
    tree: LabelTree, probabilities: NDArray[np.floating], threshold: float
) -> dict[str, pa.Array]:
    """Return how far down the tree each row is sure, and its way level by level.

    Returns:
        `node`, the label or parent at which a row stops, null where it is unsure of the top; and
        `levels`, from the top: `label` (likeliest child), `probability` and `abstain`.
    """
    path = tree.path(probabilities)
    sure = path.sure(threshold)
    columns = [level.names for level in tree.levels]
    names = np.stack(
        [np.array(own, object)[path.nodes[:, n]] for n, own in enumerate(columns)], axis=1
    )
    deepest = sure.sum(axis=1) - 1
    stops = names[np.arange(len(names)), np.maximum(deepest, 0)]
    levels = pa.StructArray.from_arrays(
        [
            pa.array(names.ravel(), pa.string()),
            pa.array(path.probabilities.ravel(), pa.float32()),
            pa.array(~sure.ravel()),
        ],
        names=["label", "probability", "abstain"],
    )
    offsets = np.arange(len(names) + 1, dtype=np.int32) * len(tree.levels)
    return {
        NODE: pa.array(stops, pa.string(), mask=deepest < 0),
        LEVELS: pa.ListArray.from_arrays(pa.array(offsets), levels),
    }


def _given(chosen: Truth, labels: tuple[str, ...], outcome: Outcome) -> dict[str, pa.Array]:
    if not outcome.several:
        return {"label": pa.array([labels[i] for i in chosen], pa.string())}
    named = [[labels[i] for i in np.flatnonzero(own)] for own in chosen]
    return {SEVERAL: pa.array(named, pa.list_(pa.string()))}


def _in_doubt(
    probabilities: NDArray[np.floating],
    chosen: Truth,
    labels: tuple[str, ...],
    abstain_below: float,
    outcome: Outcome,
) -> pa.Array:
    if not outcome.several:
        return pa.array(outcome.confidence(probabilities, chosen) < abstain_below)
    unsure = certainty(probabilities, chosen) < abstain_below
    columns = [pa.array(unsure[:, i]) for i in range(len(labels))]
    return pa.StructArray.from_arrays(columns, names=list(labels))


class LabelWriter:
    """Writes the label files of a pool, one per shard; files that are up to date stay.

    Args:
        config: the rows of a shard, the pool's columns to keep, the confidence to abstain below.
        source: the fingerprint of the model and of the pool's content.
        metadata: about the labels; every file carries it.
        send: is called with each file that was written, in a list.
        outcome: what a text's labels can be.
        tree: that the labels make, if they do.
    """

    def __init__(
        self,
        folder: Path,
        labels: tuple[str, ...],
        config: RunConfig,
        source: str,
        metadata: Mapping[str, str],
        send: Callable[[list[Path]], object] = lambda paths: None,
        outcome: Outcome = ONE,
        tree: LabelTree | None = None,
    ):
        self.folder = folder
        self.outcome = outcome
        self.tree = tree
        self.labels = labels
        self.source = source
        self._config = config
        self._metadata = metadata
        self._send = send

    def label(self, pool: Pool, predict: PredictBatch, observer: Observer) -> tuple[int, int]:
        """Label a whole pool; rows that cannot be used go to `_rejected.parquet`.

        Returns:
            (shards written, shards reused)
        """
        rows = pool.count_rows()
        shards = count_shards(rows, self._config.shard_rows)
        repeated = RepeatedIds()
        with set_aside(self.folder / LABELS_REJECTED, self.source) as reject:

            def look(batch: PoolBatch) -> None:
                reject(batch.rejected)
                if pool.id_column is not None:
                    repeated.offer(batch.ids)

            counts = self.label_shards(pool, range(shards), rows, predict, observer, look)
        close_labels(self.folder, self.source, shards, rows)
        if repeated.warning:
            observer.note(f"warning: {repeated.warning}")
        return counts

    def label_shards(
        self,
        pool: Pool,
        shards: range,
        pool_rows: int,
        predict: PredictBatch,
        observer: Observer,
        look: Callable[[PoolBatch], None] = lambda batch: None,
    ) -> tuple[int, int]:
        """Label some shards of a pool; when all are labeled, the caller calls `close_labels`.

        Args:
            pool_rows: rows of the whole pool: counting them may take as long as reading them.
            look: is called with the rows of each shard.

        Returns:
            (shards written, shards reused)
        """
        config = self._config
        rows = min(pool_rows, shards.stop * config.shard_rows) - shards.start * config.shard_rows
        written = reused = 0
        with observer.stage("labeling the pool", rows, "rows") as tick:
            batches = pool.batches(config.shard_rows, config.keep_columns, first=shards.start)
            for shard, batch in zip(shards, batches, strict=False):
                look(batch)
                if self.is_current(shard):
                    reused += 1
                    tick(len(batch.rows) + len(batch.rejected))
                    continue
                self.write(shard, batch, predict(batch, tick))
                tick(len(batch.rejected))
                written += 1
        return written, reused

    def is_current(self, shard: int) -> bool:
        """Return whether the file of a shard is there, whole, and made from the same things."""
        return stored_fingerprint(self._path(shard)) == self._fingerprint(shard)

    def write(self, shard: int, batch: PoolBatch, predictions: Predictions) -> None:
        """Write the file of a shard; the folder is incomplete from then on."""
        path = self._path(shard)
        below = self._config.abstain_below
        table = label_table(batch, predictions, self.labels, below, self.outcome, self.tree)
        remove(self.folder / LABELS_DONE)
        of_file = {"source": self.source, "fingerprint": self._fingerprint(shard)}
        if predictions.layers is not None:
            of_file["layers"] = json.dumps(np.bincount(predictions.layers)[1:].tolist())
        write_parquet(path, table, {**self._metadata, **of_file})
        self._send([path])

    def _path(self, shard: int) -> Path:
        return self.folder / f"part-{shard:05d}.parquet"

    def _fingerprint(self, shard: int) -> str:
        return fingerprint(
            model=self.source,
            shard=shard,
            rows=self._config.shard_rows,
            abstain=self._config.abstain_below,
            keep=self._config.keep_columns,
            columns="source",
            **({"thresholds": self.outcome.thresholds} if self.outcome.several else {}),
            **({} if self.tree is None else {"tree": self.tree.separator}),
        )


def label_into(
    out: RunFolder, writer: LabelWriter, pool: Pool, predict: PredictBatch, observer: Observer
) -> tuple[int, int, dict[str, Any]]:
    """Label a pool into a folder of its own, which is locked meanwhile.

    Returns:
        (shards written, shards reused, counts as of `count_labels` and of rejected rows)
    """
    with out.locked(observer.note):
        sweep(out.path, below=False)  # folders in it may be those of others
        written, reused = writer.label(pool, predict, observer)
        out.push()
    counts = count_labels(out.path, writer.labels, writer.outcome.several, writer.tree)
    counts["rejected"] = pq.read_metadata(out.path / LABELS_REJECTED).num_rows
    counts["rejected_file"] = f"{out}/{LABELS_REJECTED}"
    return written, reused, counts


def count_shards(rows: int, shard_rows: int) -> int:
    """Return how many files the labels of so many pool rows are cut into."""
    return -(-rows // shard_rows)


def close_labels(folder: Path, model: str, shards: int, rows: int) -> None:
    """Mark a folder of labels as complete, and remove files of an earlier, longer pool.

    Args:
        model: the fingerprint of the model and of the pool's content.
        rows: of the pool, usable or not.
    """
    for path in folder.glob("part-*.parquet"):
        if int(path.stem.removeprefix("part-")) >= shards:
            remove(path)
    done = folder / LABELS_DONE
    whole = {"source": model, "shards": shards, "rows": rows}
    if read_json(done) != whole:
        write_json(done, whole)


def refuse_other_labels(out: RunFolder, model: str) -> None:
    """Refuse a folder with labels of another model or pool, or with files that are not labels.

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
        except (OSError, pa.ArrowException):
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


def count_labels(
    folder: Path,
    labels: tuple[str, ...],
    several: bool = False,
    tree: LabelTree | None = None,
) -> dict[str, Any]:
    """Count what was written, shard by shard: rows per label and per bin of confidence.

    Args:
        several: whether a text may have several labels.
        tree: that the labels make, if they do: then `unsure_of_level` counts, from the top, the
            rows that stop above each level.

    Returns:
        `counts` and `abstained_of` (rows, and those that abstain, per label), `sources` (rows per
        model that they are labeled by), `rows`, `abstained`, `mean_confidence`,
        `confidence_counts` (rows in bins of equal width from 0 to 1). Of several labels: a row
        abstains if the answer to some label is in doubt, `abstained_of` counts rows that have the
        label, in doubt; `without` is rows with no label, `together` rows with each two labels.
        Of a student with early exits, `layers` is rows by the layer that gave their label.
    """
    given: Counter[tuple[int, ...]] = Counter()
    rows = doubtful = 0
    counts, abstained = dict.fromkeys(labels, 0), dict.fromkeys(labels, 0)
    sources: Counter[str] = Counter()
    bins = np.zeros(REPORT_BINS, dtype=np.int64)
    layers: Counter[int] = Counter()
    confidence = 0.0
    unsure: NDArray[np.int64] | None = None
    for path in sorted(folder.glob("part-*.parquet")):
        name = SEVERAL if several else "label"
        of_tree = [LEVELS] if tree is not None else []
        table = read_parquet(path, [name, "abstain", "confidence", "source", *of_tree])
        if tree is not None:
            doubts = pc.struct_field(table[LEVELS].combine_chunks().flatten(), "abstain")
            own = doubts.to_numpy(zero_copy_only=False).reshape(-1, len(tree.levels))
            unsure = own.sum(axis=0) + (0 if unsure is None else unsure)
        sources.update(table["source"].to_pylist())
        of_file = (pq.read_metadata(path).metadata or {}).get(b"layers", b"[]")
        layers.update(dict(enumerate(json.loads(of_file))))
        rows += len(table)
        if several:
            doubtful += _count_sets(table, labels, counts, abstained, given)
        else:
            of_label = table.group_by("label").aggregate([("abstain", "count"), ("abstain", "sum")])
            for entry in of_label.to_pylist():
                counts[entry["label"]] += entry["abstain_count"]
                abstained[entry["label"]] += entry["abstain_sum"]
        values = np.clip(table["confidence"].to_numpy(), 0, 1)
        bins += np.histogram(values, REPORT_BINS, (0, 1))[0]
        confidence += float(values.sum(dtype=np.float64))
    return {
        "counts": counts,
        "rows": rows,
        "abstained": doubtful if several else sum(abstained.values()),
        "abstained_of": abstained,
        "sources": dict(sorted(sources.items())),
        "mean_confidence": round(confidence / max(rows, 1), 4),
        "confidence_counts": bins.tolist(),
        **(_of_sets(given, len(labels)) if several else {}),
        **({} if unsure is None else {"unsure_of_level": unsure.tolist()}),
        **({"layers": [layers[place] for place in range(max(layers) + 1)]} if layers else {}),
    }


def _count_sets(
    table: pa.Table,
    labels: tuple[str, ...],
    counts: dict[str, int],
    abstained: dict[str, int],
    given: Counter[tuple[int, ...]],
) -> int:
    """Count the labels of a file's rows; return how many rows have an answer in doubt."""
    places = {label: place for place, label in enumerate(labels)}
    doubtful = 0
    pairs = zip(table[SEVERAL].to_pylist(), table["abstain"].to_pylist(), strict=True)
    for own, unsure in pairs:
        doubtful += any(unsure.values())
        given[tuple(places[label] for label in own)] += 1
        for label in own:
            counts[label] += 1
            abstained[label] += unsure[label]
    return doubtful


def _of_sets(given: Counter[tuple[int, ...]], labels: int) -> dict[str, Any]:
    """Count rows without a label, and rows that have each two labels, from counted sets."""
    together = np.zeros((labels, labels), np.int64)
    for own, rows in given.items():
        together[np.ix_(own, own)] += rows
    return {"without": given.get((), 0), "together": together.tolist()}
