"""A few rows that show a person what a run amounts to: in doubt, sure, rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.inputs import Inputs
from pet.sampling import REJECTED, Unlabeled, unlabeled_rows

DOUBTFUL = 12
SUREST = 4  # of every label
LONGEST = 280  # characters of a text
FIRST = 10  # rejected rows that are named
COLUMNS = ("id", "label", "confidence", "probabilities", "agreement")


def find_examples(inputs: Inputs) -> dict[str, Any]:
    """Find the rows of `labels/` that the student doubts most, and is surest of, per label.

    They are looked for among the rows that the members scored: of those the run folder has the
    texts, and they are a uniform sample of the pool where they are not all of it.

    Returns:
        `among` (how many rows those are), `doubtful` (a list) and `surest` (a list per label); of
        a row: `id`, `label`, `confidence`, `second` (label and probability), `agreement`, `texts`.
    """
    unlabeled, labels = unlabeled_rows(inputs), inputs.task.labels
    doubtful, surest = pa.table({}), pa.table({})
    seen = 0
    for path in sorted((inputs.folder / "labels").glob("part-*.parquet")):
        table = pq.read_table(path, columns=list(COLUMNS))
        # Only rows that the members scored have an agreement, and both are in pool order.
        table = table.filter(pc.is_valid(table["agreement"]))
        places = np.arange(seen, seen + len(table))
        table = table.append_column("place", pa.array(places))
        seen += len(table)
        doubtful = _doubtful(pa.concat_tables([doubtful, table], promote_options="default"))
        surest = _surest(pa.concat_tables([surest, table], promote_options="default"))
    assert seen == len(unlabeled), "every row that was scored is labeled"
    sure_of: dict[str, list[Any]] = {label: [] for label in labels}
    for row in surest.to_pylist():
        sure_of[row["label"]].append(_shown(row, unlabeled))
    return {
        "among": seen,
        "doubtful": [_shown(row, unlabeled) for row in doubtful.to_pylist()],
        "surest": sure_of,
    }


def _doubtful(table: pa.Table) -> pa.Table:
    order = np.argsort(table["confidence"].to_numpy(), kind="stable")
    return table.take(order[:DOUBTFUL])


def _surest(table: pa.Table) -> pa.Table:
    labels = np.array(table["label"].to_pylist(), dtype=object)
    order = np.argsort(-table["confidence"].to_numpy(), kind="stable")
    chosen = [order[labels[order] == label][:SUREST] for label in dict.fromkeys(labels)]
    places: NDArray[np.int64] = np.concatenate([np.empty(0, np.int64), *chosen])
    return table.take(places)


def _shown(row: dict[str, Any], unlabeled: Unlabeled) -> dict[str, Any]:
    others = {name: p for name, p in row["probabilities"].items() if name != row["label"]}
    second = max(others, key=lambda name: others[name])
    return {
        "id": row["id"],
        "label": row["label"],
        "confidence": round(row["confidence"], 4),
        "second": {"label": second, "probability": round(others[second], 4)},
        "agreement": round(row["agreement"], 4),
        "texts": {name: _cut(of_pool[row["place"]]) for name, of_pool in unlabeled.columns.items()},
    }


def _cut(text: str | None) -> str:
    """Put a text on one line, and end it where a person has seen enough."""
    line = " ".join((text or "")[: 4 * LONGEST].split())
    return line if len(line) <= LONGEST else line[:LONGEST].rstrip() + "…"


def count_rejected(inputs: Inputs) -> dict[str, Any]:
    """Count the rows that could not be used, by file kind and reason, and name the first few."""
    found = {"pool": _by_reason(_rejected_of_pool(inputs.folder / REJECTED))}
    for name, table in inputs.measured().items():
        found[name] = _by_reason((row.file, row.row, row.reason) for row in table.rejected)
    return found


def _rejected_of_pool(path: Path) -> Iterable[tuple[str, int, str]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _by_reason(rows: Iterable[tuple[str, int, str]]) -> dict[str, Any]:
    reasons: Counter[str] = Counter()
    first: list[dict[str, Any]] = []
    for file, row, reason in rows:
        reasons[reason] += 1
        if len(first) < FIRST:
            first.append({"file": file, "row": row, "reason": reason})
    return {"reasons": dict(reasons.most_common()), "first": first}
