"""A run's labels beside the pool's texts: for `datasets.load_dataset`, or for a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pet.data.pool import PoolBatch
from pet.data.spreadsheets import PROBABILITY
from pet.errors import InputError, PetError, Problem
from pet.escaping import as_markdown, escape_formula
from pet.finished.finished_run import FinishedRun, open_run_pool
from pet.inputs.run_tables import LABEL_COLUMNS
from pet.progress import Observer
from pet.storage.files import read_json, read_parquet, write_parquet
from pet.storage.units import LABELS_DONE
from pet.tasks.task import Task


def write_labeled_pool(
    run: FinishedRun, pool_path: str | None, out: Path, observer: Observer
) -> dict[str, Any]:
    """Write the split `train`, a Parquet file per shard, and a card.

    Args:
        pool_path: where the pool is now, if not where it was.
        out: the folder to fill.

    Returns:
        `rows`, how many there are.

    Raises:
        InputError: the pool is not there, or is another one by now.
    """
    shards = _label_files(run)
    features = _features(run.task)
    rows = 0
    for number, table in enumerate(_joined(run, shards, pool_path, observer)):
        name = f"train-{number:05d}-of-{len(shards):05d}.parquet"
        write_parquet(out / "data" / name, table, {"huggingface": features})
        rows += len(table)
    (out / "README.md").write_text(_card(run.task, rows), encoding="utf-8")
    return {"rows": rows}


def write_labeled_csv(
    run: FinishedRun, pool_path: str | None, out: Path, observer: Observer
) -> dict[str, Any]:
    """Write `labeled.csv`: a row per text, a column per label's probability.

    What a spreadsheet would take for a formula gets an apostrophe before it, which is taken away
    when the file is read here. Arguments and errors are those of `write_labeled_pool`.

    Returns:
        `rows`, how many there are, and `escaped`, how many cells have an apostrophe.
    """
    labels = run.task.labels
    rows, escaped, headed = 0, 0, False
    with (out / "labeled.csv").open("w", encoding="utf-8-sig", newline="") as stream:
        lines = csv.writer(stream)
        for table in _joined(run, _label_files(run), pool_path, observer):
            if not headed:  # a shard of unusable rows is a table without any
                headed = True
                names = [name for name in table.column_names if name != "probabilities"]
                lines.writerow(map(_cell, [*names, *(f"{PROBABILITY}{name}" for name in labels)]))
            for row in table.to_pylist():
                probabilities = row.pop("probabilities")
                row["label"] = labels[row["label"]]
                values = [*row.values(), *(probabilities[name] for name in labels)]
                cells = list(map(_cell, values))
                texts = (n for n, value in enumerate(values) if isinstance(value, str))
                escaped += sum(cells[n] != values[n] for n in texts)
                lines.writerow(cells)
            rows += len(table)
    return {"rows": rows, "escaped": escaped}


def _cell(value: object) -> object:
    """Return a value as it goes into a spreadsheet; a number keeps the digits that it has."""
    if isinstance(value, str):
        return escape_formula(value)
    return f"{value:.6g}" if isinstance(value, float) else value


def _joined(
    run: FinishedRun, shards: list[Path], pool_path: str | None, observer: Observer
) -> Iterator[pa.Table]:
    """Join the run's labels with the texts, shard by shard."""
    pool = open_run_pool(run, pool_path)
    with observer.stage("joining labels and texts", pool.count_rows(), "rows") as tick:
        for number, batch in enumerate(pool.batches(run.config.shard_rows)):
            yield _join(batch, shards, number, run.task)
            tick(len(batch) + len(batch.rejected))


def _label_files(run: FinishedRun) -> list[Path]:
    """List the label files, which follow the pool's order."""
    folder = run.folder / "labels"
    files = sorted(folder.glob("part-*.parquet"))
    if (read_json(folder / LABELS_DONE) or {}).get("shards") != len(files):
        raise InputError(
            Problem(
                str(folder),
                "all label files of the run",
                f"{len(files)} files",
                "give the run's `pet run` command again: missing ones are made anew",
            )
        )
    return files


def _join(batch: PoolBatch, shards: list[Path], number: int, task: Task) -> pa.Table:
    """Put the texts beside the labels of the same rows, which ids verify."""
    labeled = read_parquet(shards[number]) if number < len(shards) else None
    ids = labeled["id"].to_pylist() if labeled is not None else []
    known, rows = set(ids), zip(*batch.columns.values(), strict=True)
    # Former versions have set rows aside where one field was null and another was not.
    places = [row for row, texts in enumerate(rows) if all(texts) or batch.ids[row] in known]
    if labeled is None or ids != [batch.ids[place] for place in places]:
        raise PetError(
            Problem(
                f"label file {number}",
                "the ids of the pool's rows, in their order",
                "others",
                "give the run's `pet run` command again",
            )
        )
    label = pc.index_in(labeled["label"], pa.array(task.labels, pa.string())).cast(pa.int64())
    fields = {
        _text_name(name): pa.array(
            [batch.columns[name][place] for place in places], pa.large_string()
        )
        for name in task.fields
    }
    columns = {name: label if name == "label" else labeled[name] for name in LABEL_COLUMNS}
    return pa.table({"id": columns.pop("id"), **fields, **columns})


def _text_name(field: str) -> str:
    return f"field {field}" if field in LABEL_COLUMNS else field


def _features(task: Task) -> str:
    """Describe the columns as `datasets` does in a Parquet file's schema."""

    def value(kind: str) -> dict[str, str]:
        return {"dtype": kind, "_type": "Value"}

    features: dict[str, Any] = {
        "id": value("string"),
        **{_text_name(name): value("large_string") for name in task.fields},
        "label": {"names": list(task.labels), "_type": "ClassLabel"},
        "confidence": value("float32"),
        "probabilities": {label: value("float32") for label in task.labels},
        "entropy": value("float32"),
        "agreement": value("float32"),
        "abstain": value("bool"),
    }
    return json.dumps({"info": {"features": features}})


def _card(task: Task, rows: int) -> str:
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
task_categories:
- text-classification
---
# {as_markdown(task.name)}, labeled

{as_markdown(task.description)}
{rows:,} texts with labels predicted by a model, not checked by
people. `confidence` is the label's probability; below the threshold, `abstain` is true.

Labels: {_listed(task.labels)}.

```python
from datasets import load_dataset

load_dataset("path/to/this/folder", split="train").features["label"].names
```
"""


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(as_markdown(label) for label in labels)
