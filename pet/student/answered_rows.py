"""Label files in which some labels are people's: what was predicted stays beside them.

Of a row that a person has answered, `label` is the answer and `source` is `person`; `predicted` and
`predicted_by` keep the model's label and its source, and are null in all other rows. `confidence`,
`probabilities`, `entropy` and `agreement` stay the model's, so that its predictions can be read
back as they were (`as_predicted`): all that is proven, drawn or planned is about these. Where a
text may have several labels, `labels` and `predicted` are lists, and no answer is in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pet.config import RunConfig
from pet.data.pool import SEVERAL
from pet.storage.files import read_parquet, stored_columns

PERSON = "person"  # the source of a label that a person gave


@dataclass(frozen=True)
class AnswerColumns:
    """The columns that answers bring."""

    certified: str
    predicted: str
    predicted_by: str


def answer_columns(config: RunConfig) -> AnswerColumns:
    """Name them; where the pool's own columns have a name, theirs ends in `_label`."""
    return AnswerColumns(
        *(_free(name, config.keep_columns) for name in ("certified", "predicted", "predicted_by"))
    )


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_label"
    return name


def read_predicted(path: Path, columns: Sequence[str], config: RunConfig) -> pa.Table:
    """Read columns of a label file, with the model's labels where people have answered."""
    own, names = answer_columns(config), stored_columns(path)
    given = ["label"] if "label" in names else [SEVERAL, "probabilities"]
    needed = [*given, "source", "abstain", "confidence", own.predicted, own.predicted_by]
    if own.predicted not in names:
        return read_parquet(path, columns)
    table = read_parquet(path, [*dict.fromkeys([*columns, *needed])])
    return as_predicted(table, config).select(list(columns))


def as_predicted(table: pa.Table, config: RunConfig) -> pa.Table:
    """Return a label file as the model made it, but for the column of a certificate."""
    own = answer_columns(config)
    if own.predicted not in table.column_names:
        return table
    answered = pc.is_valid(table[own.predicted])
    if "label" in table.column_names:
        unsure = pc.less(table["confidence"], pa.scalar(config.abstain_below, pa.float32()))
        restored = {
            "label": pc.coalesce(table[own.predicted], table["label"]),
            "abstain": pc.if_else(answered, unsure, table["abstain"]),
        }
    else:
        restored = _sets_as_predicted(table, own.predicted, config.abstain_below)
    restored["source"] = pc.coalesce(table[own.predicted_by], table["source"])
    for name, values in restored.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return table.drop_columns([own.predicted, own.predicted_by])


def _sets_as_predicted(table: pa.Table, predicted: str, below: float) -> dict[str, pa.Array]:
    """Return the lists of labels that the model gave, and which of its answers are in doubt."""
    kind, unsure_kind = table[SEVERAL].type, table["abstain"].type
    rows = [table[name].to_pylist() for name in (SEVERAL, predicted, "probabilities", "abstain")]
    labels, unsure = [], []
    for given, by_model, probabilities, doubts in zip(*rows, strict=True):
        labels.append(given if by_model is None else by_model)
        if by_model is not None:
            sure = {n: p if n in by_model else 1 - p for n, p in probabilities.items()}
            doubts = {name: own < below for name, own in sure.items()}
        unsure.append(doubts)
    return {SEVERAL: pa.array(labels, kind), "abstain": pa.array(unsure, unsure_kind)}


def with_answers(
    table: pa.Table, answers: Mapping[str, str | list[str]], config: RunConfig
) -> pa.Table:
    """Put people's answers into a label file as the model made it.

    Args:
        answers: id of a row -> label, or the list of its labels.
    """
    own, given = answer_columns(config), [answers.get(id) for id in table["id"].to_pylist()]
    if "label" not in table.column_names:
        return _with_sets(table, given, own)
    if "source" not in table.column_names:  # in former versions the student labels every row
        table = table.append_column("source", pa.array(["student"] * len(table), pa.string()))
    labels = pa.array(given, pa.string())
    answered, none = pc.is_valid(labels), pa.scalar(None, pa.string())
    columns = {
        own.predicted: pc.if_else(answered, table["label"], none),
        own.predicted_by: pc.if_else(answered, table["source"], none),
    }
    changed = {
        "label": pc.coalesce(labels, table["label"]),
        "source": pc.if_else(answered, PERSON, table["source"]),
        "abstain": pc.if_else(answered, False, table["abstain"]),
    }
    for name, values in changed.items():
        table = table.set_column(table.column_names.index(name), name, values)
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def _with_sets(
    table: pa.Table, given: Sequence[str | list[str] | None], own: AnswerColumns
) -> pa.Table:
    """Put answers into a label file of several labels.

    Args:
        given: the answer to each row. [rows]
    """
    kinds = {name: table[name].type for name in (SEVERAL, "source", "abstain")}
    columns = {name: table[name].to_pylist() for name in kinds}
    answered = [row for row, answer in enumerate(given) if answer is not None]
    predicted: list[Any] = [None] * len(given)
    predicted_by: list[Any] = [None] * len(given)
    for row in answered:
        predicted[row], columns[SEVERAL][row] = columns[SEVERAL][row], given[row]
        predicted_by[row], columns["source"][row] = columns["source"][row], PERSON
        columns["abstain"][row] = dict.fromkeys(columns["abstain"][row], False)
    for name, kind in kinds.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(columns[name], kind))
    table = table.append_column(own.predicted, pa.array(predicted, kinds[SEVERAL]))
    return table.append_column(own.predicted_by, pa.array(predicted_by, pa.string()))
