"""The columns that files must have, and what may be in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pet.data.data_files import Source
from pet.errors import InputError, Problem, did_you_mean, group_problems


@dataclass(frozen=True)
class Need:
    """A column that every file must have, and the option that names another."""

    column: str
    what: str
    option: str


def check_columns(sources: Sequence[Source], needs: Sequence[Need]) -> None:
    """Refuse files that lack a column, or have something else in it.

    Raises:
        InputError: the problems of all files.
    """
    problems = [
        problem for source in sources for need in needs if (problem := _problem(source, need))
    ]
    if problems:
        raise InputError(group_problems(problems))


def _problem(source: Source, need: Need) -> Problem | None:
    names = source.schema.names
    expected = f"a column {need.column!r} {need.what}"
    option = f"name the column with {need.option}" if need.option else "rename the column"
    if need.column not in names:
        return Problem(
            str(source.path),
            expected,
            f"the columns {listed(names)}",
            _suggest(need.column, names) + option,
        )
    if names.count(need.column) > 1:
        found = f"{names.count(need.column)} columns of that name"
        return Problem(str(source.path), expected, found, "give every column its own name")
    kind = source.schema.field(need.column).type
    is_id = need.what == "of ids" and _is_number_or_uuid(kind)
    if need.what == "of ids" and pa.types.is_floating(kind):
        option = "write the numbers as integers, or as text"
    if need.what in ("of text", "of ids") and not (is_id or _is_text(kind)):
        return Problem(str(source.path), expected, f"values of type {kind}", option)
    return None


def _suggest(wanted: str, names: Sequence[str]) -> str:
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        return "write the file with commas between the columns; or "
    meant = did_you_mean(wanted, names)
    return f"did you mean {meant!r}? " if meant else ""


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Quote and join the names, and count those beyond the limit."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return (", ".join(map(repr, names[:limit])) or "none") + more


def with_counts(names: Counter[str], limit: int = 20) -> str:
    """Quote and join the commonest names, each with its number of rows."""
    return ", ".join(f"{name!r} ({count} rows)" for name, count in names.most_common(limit))


def plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of the values, where they stand in a dictionary or a view."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return views.get(kind, kind)  # a view can be neither filtered nor joined


def is_string(kind: pa.DataType) -> bool:
    """Return whether values are strings, of whatever layout."""
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_number_or_uuid(kind: pa.DataType) -> bool:
    """Return whether values may be ids that are no strings; of floats nobody knows the digits."""
    return pa.types.is_integer(kind) or isinstance(kind, pa.UuidType)


def _is_text(kind: pa.DataType) -> bool:
    kind, types = plain(kind), pa.types
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return is_string(kind) or is_bytes or types.is_null(kind)
