"""CSV files that are written here for spreadsheets: their cells are read back as they were."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pet.data.arrow_types import is_string
from pet.escaping import FORMULA

PROBABILITY = "probability: "  # a column of `pet export --format csv`, before its label

EXPORTED = {"id", "label", "confidence", "abstain"}

REVIEWED = {"id", "label", "confidence", "probabilities", "why", "answer"}


def is_escaped(names: Collection[str]) -> bool:
    """Return whether columns are those of a file of `pet export` or `pet review`."""
    exported = set(names) >= EXPORTED and any(name.startswith(PROBABILITY) for name in names)
    return exported or set(names) >= REVIEWED


def unescaped(table: pa.RecordBatch, names: Collection[str]) -> pa.RecordBatch:
    """Undo `escape_formula` in some columns of such a file; leave those of any other alone.

    Args:
        names: all columns of the file.
    """
    if not is_escaped(names):
        return table
    columns: Mapping[str, pa.Array] = {
        name: pc.replace_substring_regex(column, f"^'({FORMULA})", r"\1")
        if is_string(column.type)
        else column
        for name, column in zip(table.schema.names, table.columns, strict=True)
    }
    return pa.RecordBatch.from_pydict(dict(columns))
