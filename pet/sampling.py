"""The pool rows that members score: all of them, or a uniform sample of a large pool."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pet.data import write_parquet
from pet.errors import InputError, Problem
from pet.inputs import ROWS_PER_LABEL, Inputs
from pet.runs import DONE, Unit, fingerprint, make_unit, read_json


@dataclass(frozen=True)
class Unlabeled:
    """The pool rows that members score.

    Attributes:
        ids: row ids, in pool order.
        rows: place of each row in the whole pool.
        columns: field -> texts.
        trainable: False for rows whose text stands in the labeled set.
    """

    ids: list[str]
    rows: np.ndarray
    columns: dict[str, list[str]]
    trainable: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


def sample_pool(inputs: Inputs) -> Unit:
    """Stream the pool once: set bad rows aside, keep the rows that members will score.

    Where the pool is larger than `unlabeled_rows`, a uniform sample of it is kept, so that memory
    and training time do not grow with the pool.
    """
    config, task = inputs.config, inputs.task
    limit = config.unlabeled_rows or ROWS_PER_LABEL * len(task.labels)
    expected = fingerprint(
        pool=inputs.digests["pool"], labeled=inputs.digests["labeled"], limit=limit,
        fields=task.fields, text_column=config.text_column, id_column=config.id_column,
        seed=config.seed,
    )  # fmt: skip
    return make_unit(
        inputs.folder / "unlabeled", expected, lambda folder: _sample(inputs, limit, folder)
    )


def _sample(inputs: Inputs, limit: int, folder: Path) -> dict[str, Any]:
    total = inputs.pool.count_rows()
    rng = np.random.default_rng(inputs.seed("unlabeled"))
    chosen = None if total <= limit else np.sort(rng.choice(total, limit, replace=False))
    known = set(zip(*(inputs.labeled.columns[name] for name in inputs.task.fields), strict=True))
    kept: dict[str, list[Any]] = {"id": [], "row": [], "trainable": []}
    kept |= {f"field:{name}": [] for name in inputs.task.fields}
    rejected: list[Any] = []
    with inputs.observer.stage("reading the pool", total, "rows") as tick:
        for batch in inputs.pool.batches(inputs.config.shard_rows):
            rejected += batch.rejected
            places = batch.rows
            inside = (
                range(len(places)) if chosen is None else np.flatnonzero(np.isin(places, chosen))
            )
            texts = [batch.columns[name] for name in inputs.task.fields]
            for index in inside:
                row = tuple(column[index] for column in texts)
                kept["id"].append(batch.ids[index])
                kept["row"].append(int(places[index]))
                kept["trainable"].append(row not in known)
                for name, text in zip(inputs.task.fields, row, strict=True):
                    kept[f"field:{name}"].append(text)
            tick(len(places) + len(batch.rejected))
    _check_rejected(inputs, len(rejected), total)
    write_parquet(folder / "rows.parquet", pa.table(kept), {})
    write_parquet(folder / "rejected.parquet", _rejected_table(rejected), {})
    return {"rows": total, "rejected": len(rejected), "sampled": len(kept["id"])}


def _rejected_table(rejected: Iterable[Any]) -> pa.Table:
    rows = [(r.file, r.row, r.reason) for r in rejected]
    files, numbers, reasons = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "file": pa.array(files, pa.string()),
            "row": pa.array(numbers, pa.int64()),
            "reason": pa.array(reasons, pa.string()),
        }
    )


def _check_rejected(inputs: Inputs, rejected: int, total: int) -> None:
    config = inputs.config
    if rejected == total:
        raise InputError(
            Problem(config.pool, "at least one row with text", f"{total} rows, none usable",
                    "check --text-column, and the file")
        )  # fmt: skip
    if rejected > config.max_rejected * total:
        raise InputError(
            Problem(
                config.pool,
                f"at most {config.max_rejected:.0%} unusable rows",
                f"{rejected} of {total}",
                "look at the rows, or raise it with --set max_rejected=0.5",
            )
        )


def load_unlabeled(folder: Path) -> Unlabeled:
    """Read the rows that `sample_pool` kept."""
    table = pq.read_table(folder / "unlabeled" / "rows.parquet")
    columns = {
        name.removeprefix("field:"): table[name].to_pylist()
        for name in table.column_names
        if name.startswith("field:")
    }
    return Unlabeled(
        table["id"].to_pylist(), table["row"].to_numpy(), columns, table["trainable"].to_numpy()
    )


def unlabeled_fingerprint(inputs: Inputs) -> str:
    return str((read_json(inputs.folder / "unlabeled" / DONE) or {})["fingerprint"])


@functools.lru_cache(maxsize=2)
def _load_unlabeled(folder: str, expected: str) -> Unlabeled:
    return load_unlabeled(Path(folder))


def unlabeled_rows(inputs: Inputs) -> Unlabeled:
    """The pool rows that members score, read once per process."""
    return _load_unlabeled(str(inputs.folder), unlabeled_fingerprint(inputs))
