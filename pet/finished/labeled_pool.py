"""A run's labels beside the pool's texts: for `datasets.load_dataset`, or for a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pet.data.label_values import indicators
from pet.data.pool import LABEL_COLUMNS, SEVERAL, PoolBatch
from pet.data.spreadsheets import PROBABILITY
from pet.errors import InputError, PetError, Problem
from pet.escaping import as_markdown, escape_formula
from pet.finished.finished_run import FinishedRun, open_run_pool
from pet.finished.predictors import ensemble_of_own_pool, scored_rows
from pet.progress import Observer, Tick
from pet.storage.files import read_json, read_parquet, write_parquet
from pet.storage.units import LABELS_DONE
from pet.student.answered_rows import PERSON, as_predicted
from pet.student.label_files import Predictions, label_table
from pet.tasks.task import Task


def write_labeled_pool(
    run: FinishedRun, pool_path: str | None, who: str | None, out: Path, observer: Observer
) -> dict[str, Any]:
    """Write the split `train`, a Parquet file per shard, and a card.

    Args:
        pool_path: where the pool is now, if not where it was.
        who: the model that labels, student or ensemble; None for the run's labels as they are.
        out: the folder to fill.

    Returns:
        `rows`, how many there are.

    Raises:
        InputError: the pool is not there, or is another one by now.
    """
    shards = _label_files(run)
    features = _features(run.task)
    rows = people = 0
    for number, table in enumerate(_joined(run, shards, pool_path, who, observer)):
        name = f"train-{number:05d}-of-{len(shards):05d}.parquet"
        write_parquet(out / "data" / name, table, {"huggingface": features})
        rows += len(table)
        people += pc.sum(pc.equal(table["source"], PERSON)).as_py() or 0
    (out / "README.md").write_text(_card(run.task, rows, people), encoding="utf-8")
    return {"rows": rows}


def write_labeled_csv(
    run: FinishedRun, pool_path: str | None, who: str | None, out: Path, observer: Observer
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
        for table in _joined(run, _label_files(run), pool_path, who, observer):
            if not headed:  # a shard of unusable rows is a table without any
                headed = True
                names = [name for name in table.column_names if name != "probabilities"]
                lines.writerow(map(_cell, [*names, *(f"{PROBABILITY}{name}" for name in labels)]))
            for row in table.to_pylist():
                probabilities = row.pop("probabilities")
                if run.task.several:
                    row |= _sets_of(row, labels)
                else:
                    row["label"] = labels[row["label"]]
                values = [*row.values(), *(probabilities[name] for name in labels)]
                cells = list(map(_cell, values))
                texts = (n for n, value in enumerate(values) if isinstance(value, str))
                escaped += sum(cells[n] != values[n] for n in texts)
                lines.writerow(cells)
            rows += len(table)
    return {"rows": rows, "escaped": escaped}


def _sets_of(row: Mapping[str, Any], labels: Sequence[str]) -> dict[str, str]:
    """Write a row's labels, and those in doubt, as JSON lists, as labeled CSV files have them."""
    given = [labels[place] for place in row[SEVERAL]]
    unsure = [name for name, own in row["abstain"].items() if own]
    return {
        SEVERAL: json.dumps(given, ensure_ascii=False),
        "abstain": json.dumps(unsure, ensure_ascii=False),
    }


def _cell(value: object) -> object:
    """Return a value as it goes into a spreadsheet; a number keeps the digits that it has."""
    if isinstance(value, str):
        return escape_formula(value)
    return f"{value:.6g}" if isinstance(value, float) else value


def _joined(
    run: FinishedRun, shards: list[Path], pool_path: str | None, who: str | None, observer: Observer
) -> Iterator[pa.Table]:
    """Join labels with the texts, shard by shard."""
    pool = open_run_pool(run, pool_path)
    relabel, rows = _labels_by(run, who), pool.count_rows()
    if who == "ensemble" and (others := rows - len(scored_rows(run))) > 0:
        observer.note(
            f"the run's ensemble scores {others:,} of {rows:,} rows now, every model of it each, "
            "which takes long; the labels as the run has made them (without --with) are there"
        )
    with observer.stage("joining labels and texts", rows, "rows") as tick:
        for number, batch in enumerate(pool.batches(run.config.shard_rows)):
            tick(len(batch.rejected))
            labeled, batch = _labels_of(batch, shards, number)
            yield _join(batch, relabel(batch, labeled, tick), run.task)


Relabel = Callable[[PoolBatch, pa.Table, Tick], pa.Table]


def _labels_by(run: FinishedRun, who: str | None) -> Relabel:
    """Return the function that gives a batch the labels of a model.

    What the run has predicted is read back: the student's labels of rows that the ensemble has
    labeled, the ensemble's of those that it has scored.
    """

    labels, below, outcome = run.task.labels, run.config.abstain_below, run.outcome

    def laid_out(batch: PoolBatch, predictions: Predictions) -> pa.Table:
        return label_table(batch, predictions, labels, below, outcome)

    if who is None:

        def as_they_are(batch: PoolBatch, labeled: pa.Table, tick: Tick) -> pa.Table:
            tick(len(batch))
            return labeled

        return as_they_are
    if who == "ensemble":
        predict = ensemble_of_own_pool(run)
        return lambda batch, labeled, tick: laid_out(batch, predict(batch, tick))
    scored = scored_rows(run)

    def by_student(batch: PoolBatch, labeled: pa.Table, tick: Tick) -> pa.Table:
        tick(len(batch))
        labeled = as_predicted(labeled, run.config)
        others = np.asarray(labeled["source"]) != "student"
        if not others.any():
            return labeled
        shares = labeled["probabilities"].combine_chunks().flatten()
        probabilities = np.stack([share.to_numpy() for share in shares], axis=1)
        probabilities[others] = scored.probabilities("student", batch.rows[others])
        chosen = outcome.choose(probabilities)
        if run.task.several:  # its own labels as they are: a rounded probability may be at the edge
            chosen[~others] = indicators(labeled[SEVERAL].to_pylist(), labels)[~others]
        agreement = scored.agreement(batch.rows, chosen)
        return laid_out(batch, Predictions(probabilities, agreement, "student", chosen))

    return by_student


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


def _labels_of(batch: PoolBatch, shards: list[Path], number: int) -> tuple[pa.Table, PoolBatch]:
    """Read the labels of a batch, which ids verify, and return the rows that have one."""
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
    columns = {name: [texts[place] for place in places] for name, texts in batch.columns.items()}
    batch = replace(batch, ids=ids, columns=columns, rows=batch.rows[places])
    if "source" not in labeled.column_names:  # in former versions the student labels every row
        labeled = labeled.append_column("source", pa.array(["student"] * len(labeled), pa.string()))
    return labeled, batch


def _join(batch: PoolBatch, labeled: pa.Table, task: Task) -> pa.Table:
    """Put texts and labels of the same rows side by side."""
    known = pa.array(task.labels, pa.string())
    columns = {name: labeled[name] for name in _columns(task)}
    if task.several:
        given = labeled[SEVERAL].combine_chunks()
        places = pc.index_in(given.flatten(), known).cast(pa.int64())
        offsets = pc.subtract(given.offsets, given.offsets[0])
        columns[SEVERAL] = pa.ListArray.from_arrays(offsets, places)
    else:
        columns["label"] = pc.index_in(labeled["label"], known).cast(pa.int64())
    fields = {
        _text_name(name, task): pa.array(batch.columns[name], pa.large_string())
        for name in task.fields
    }
    return pa.table({"id": columns.pop("id"), **fields, **columns})


def _columns(task: Task) -> list[str]:
    """Name the columns of label files."""
    return [SEVERAL if task.several and name == "label" else name for name in LABEL_COLUMNS]


def _text_name(field: str, task: Task) -> str:
    return f"field {field}" if field in _columns(task) else field


def _features(task: Task) -> str:
    """Describe the columns as `datasets` does in a Parquet file's schema."""

    def value(kind: str) -> dict[str, str]:
        return {"dtype": kind, "_type": "Value"}

    one = {"names": list(task.labels), "_type": "ClassLabel"}
    unsure = {label: value("bool") for label in task.labels}
    features: dict[str, Any] = {
        "id": value("string"),
        **{_text_name(name, task): value("large_string") for name in task.fields},
        **({SEVERAL: {"feature": one, "_type": "Sequence"}} if task.several else {"label": one}),
        "confidence": value("float32"),
        "probabilities": {label: value("float32") for label in task.labels},
        "entropy": value("float32"),
        "agreement": value("float32"),
        "abstain": unsure if task.several else value("bool"),
        "source": value("string"),
    }
    return json.dumps({"info": {"features": features}})


def _card(task: Task, rows: int, people: int) -> str:
    checked = f"but for {people:,} not checked by" if people else "not checked by"
    person = ", or `person`; `confidence` is the model's, then" if people else ""
    meaning = "`confidence` is the label's probability; below the threshold, `abstain` is true."
    names = 'features["label"].names'
    if task.several:
        meaning = (
            "A text has any number of the labels.\n`confidence` is the probability that all "
            "answers are right, were they independent;\n`abstain` is true for labels whose answer "
            "is in doubt."
        )
        names = f'features["{SEVERAL}"].feature.names'
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
{rows:,} texts with labels predicted by a model, {checked}
people. {meaning} `source` is
the model that a label comes from{person}.

Labels: {_listed(task.labels)}.

```python
from datasets import load_dataset

load_dataset("path/to/this/folder", split="train").{names}
```
"""


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(as_markdown(label) for label in labels)
