"""The pool rows that members score: all of them, or a uniform sample of a large pool."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pet.config import RunConfig
from pet.data.duplicate_ids import RepeatedIds
from pet.data.labeled import LabeledSet
from pet.data.rejections import RejectedRow, Rejections, read_rejected
from pet.data.text_keys import text_key
from pet.errors import InputError, Problem
from pet.inputs.inputs import ROWS_PER_LABEL
from pet.inputs.run_tables import texts_of
from pet.inputs.session import Session, StoredRun
from pet.storage.files import read_parquet, read_record, write_parquet, writing
from pet.storage.units import DONE, Unit, fingerprint, make_unit
from pet.tasks.task import Task

REJECTED = "rejected.parquet"

REJECTED_SCHEMA = pa.schema([("file", pa.string()), ("row", pa.int64()), ("reason", pa.string())])


@dataclass(frozen=True)
class Unlabeled:
    """The pool rows that members score.

    Attributes:
        ids: row ids, in pool order.
        rows: place of each row in the whole pool.
        columns: field -> texts.
        trainable: False for rows whose text stands in the test set, or in the labeled set (unless
            `learn_from_labeled`).
    """

    ids: list[str]
    rows: np.ndarray
    columns: dict[str, list[str]]
    trainable: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def sample_pool(session: Session) -> Unit:
    """Stream the pool once: set bad rows aside, keep the rows that members will score.

    Where the pool is larger than `unlabeled_rows`, a uniform sample of it is kept, so that memory
    and training time do not grow with the pool.
    """
    config, task = session.config, session.task
    limit = config.unlabeled_rows or ROWS_PER_LABEL * len(task.labels)
    expected = fingerprint(
        pool=session.digests["pool"],
        labeled=session.digests["labeled"],
        limit=limit,
        fields=task.fields,
        text_column=config.text_column,
        id_column=config.id_column,
        seed=config.seed,
        test=session.digests.get("test"),
        labeled_too=config.learn_from_labeled,
        names="learned",
        known_by="text_key",
    )
    unit = make_unit(
        session.folder / "unlabeled", expected, lambda folder: _sample(session, limit, folder)
    )
    if warning := unit.record.get("repeated_ids"):
        session.observer.note(f"warning: {warning}")
    # The setting makes no other sample: one that is reused may be of a time when more was allowed.
    check_rejected(session.config, read_rejected(unit.path / REJECTED), int(unit.record["rows"]))
    with writing(session.folder / REJECTED) as temporary:
        shutil.copyfile(unit.path / REJECTED, temporary)
    return unit


def _sample(session: Session, limit: int, folder: Path) -> dict[str, Any]:
    total = session.pool.count_rows()
    rng = np.random.default_rng(session.seed("unlabeled"))
    chosen = None if total <= limit else np.sort(rng.choice(total, limit, replace=False))
    fields = session.task.fields
    known = known_texts(session.config, session.task, session.labeled, session.test)
    kept: dict[str, list[Any]] = {"id": [], "row": [], "trainable": []}
    kept |= {f"field:{name}": [] for name in fields}
    rejected = Rejections()
    repeated = RepeatedIds()
    texts = hashlib.sha256()
    with (
        session.observer.stage("reading the pool", total, "rows") as tick,
        pq.ParquetWriter(folder / REJECTED, REJECTED_SCHEMA, compression="zstd") as aside,
    ):
        # Columns to keep are read, too: one that cannot be kept is found before any training.
        for batch in session.pool.batches(session.config.shard_rows, session.config.keep_columns):
            if batch.rejected:
                aside.write_table(_rejected_table(batch.rejected))
                rejected.add(batch.rejected)
                check_rejected(session.config, rejected, total)
            if session.pool.id_column is not None:
                repeated.offer(batch.ids)
            inside = slice(None) if chosen is None else np.isin(batch.rows, chosen)
            for index in np.arange(len(batch))[inside]:
                row = tuple(batch.columns[name][index] for name in fields)
                texts.update(json.dumps([batch.ids[index], *row]).encode())
                kept["id"].append(batch.ids[index])
                kept["row"].append(int(batch.rows[index]))
                kept["trainable"].append(tuple(map(text_key, row)) not in known)
                for name, text in zip(fields, row, strict=True):
                    kept[f"field:{name}"].append(text)
            tick(len(batch) + len(batch.rejected))
    check_rejected(session.config, rejected, total)
    check_learnable(session.config, any(kept["trainable"]))
    write_parquet(folder / "rows.parquet", pa.table(kept), {})
    of_texts, learned = texts.hexdigest(), hashlib.sha256(bytes(kept["trainable"])).hexdigest()
    return {
        "rows": total,
        "rejected": len(rejected),
        "sampled": len(kept["id"]),
        "repeated_ids": repeated.warning,
        "texts": of_texts,
        "learned": fingerprint(texts=of_texts, rows=learned),
    }


def _rejected_table(rejected: Sequence[RejectedRow]) -> pa.Table:
    rows = [(row.file, row.row, row.reason) for row in rejected]
    return pa.table(list(zip(*rows, strict=True)), schema=REJECTED_SCHEMA)


def known_texts(
    config: RunConfig, task: Task, labeled: LabeledSet, test: LabeledSet | None
) -> set[tuple[str, ...]]:
    """Return the keys of texts that nobody may learn from where they stand in the pool, too."""
    known = set() if config.learn_from_labeled else texts_of(task, labeled)
    return known if test is None else known | texts_of(task, test)


def check_rejected(config: RunConfig, rejected: Rejections, total: int) -> None:
    """Refuse a pool of which no row can be used, or fewer than `max_rejected` allows.

    Args:
        rejected: rows set aside; so far, where the pool is still being read.
    """
    if len(rejected) == total:
        raise InputError(
            Problem(
                config.pool,
                "at least one row with text",
                f"{total:,} rows, none of them usable" + (f": {rejected}" if total else ""),
                rejected.fix("check --text-column, and the file"),
            )
        )
    if len(rejected) > config.max_rejected * total:
        raise InputError(
            Problem(
                config.pool,
                f"at most {config.max_rejected:.0%} unusable rows",
                f"{len(rejected):,} or more of {total:,}: {rejected}",
                rejected.fix(
                    "correct the rows, or the file",
                    allow="; to go on without them, --set max_rejected=0.5",
                ),
            )
        )


def check_learnable(config: RunConfig, learnable: bool) -> None:
    """Refuse a pool that has nothing for the student to learn from."""
    if not learnable:
        raise InputError(
            Problem(
                config.pool,
                "texts that are in neither labeled nor test set",
                "none",
                "give a pool of other texts: the student learns from them; "
                "--set learn_from_labeled=true takes those of the labeled set, too",
            )
        )


def load_unlabeled(folder: Path) -> Unlabeled:
    """Read the rows that `sample_pool` kept."""
    table = read_parquet(folder / "unlabeled" / "rows.parquet")
    columns = {
        name.removeprefix("field:"): table[name].to_pylist()
        for name in table.column_names
        if name.startswith("field:")
    }
    return Unlabeled(
        table["id"].to_pylist(), table["row"].to_numpy(), columns, table["trainable"].to_numpy()
    )


def pool_rows(session: Session) -> int:
    """Return how many rows the pool has, usable or not, as they were counted for the sample."""
    return int(read_record(session.folder / "unlabeled" / DONE)["rows"])


def unlabeled_fingerprint(session: Session) -> str:
    """Name the unlabeled rows by their texts, and by which of them may be learned from.

    So a test set that comes later, of other texts than the pool's, makes no other model.
    """
    return str(read_record(session.folder / "unlabeled" / DONE)["learned"])


def texts_fingerprint(session: Session) -> str:
    """Name the unlabeled rows by their texts alone: all that matters to a model that is asked.

    So the scores of an untrained model stay valid when the labeled set grows.
    """
    return str(read_record(session.folder / "unlabeled" / DONE)["texts"])


@functools.lru_cache(maxsize=2)
def _load_unlabeled(folder: str, expected: str) -> Unlabeled:
    return load_unlabeled(Path(folder))


def unlabeled_rows(run: StoredRun) -> Unlabeled:
    """The pool rows that members score, read once per process."""
    sample = str(read_record(run.folder / "unlabeled" / DONE)["fingerprint"])
    return _load_unlabeled(str(run.folder), sample)
