"""The columns that files must have, and what may be in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pet.data.arrow_types import has_text_form, is_binary, is_string, plain
from pet.data.data_files import Source
from pet.errors import InputError, Problem, did_you_mean, group_problems

LONGEST_NAME = 200  # characters of a name on the screen


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
    option = f"name {{}} with {need.option}" if need.option else "rename the column"
    if need.what == "of ids":
        option += ", or do without: --set id_column=null"
    if need.column not in names:
        return Problem(
            str(source.path),
            expected,
            f"the columns {listed(names)}",
            _suggest(need.column, source) + option.replace("{}", "the column"),
        )
    if names.count(need.column) > 1:
        found = f"{names.count(need.column)} columns of that name"
        return Problem(str(source.path), expected, found, "give every column its own name")
    kind = source.schema.field(need.column).type
    fits = _is_text(kind) or (need.what == "of ids" and has_text_form(kind))
    if need.what in ("of text", "of ids") and not fits:
        fix = option.replace("{}", "another column")
        if pa.types.is_floating(kind):
            fix = f"write the numbers as integers, or as text; or {fix}"
        return Problem(str(source.path), expected, f"values of type {kind}", fix)
    return None


def _suggest(wanted: str, source: Source) -> str:
    names = source.schema.names
    if len(names) == 1 and (marks := [mark for mark in ";\t|," if mark in names[0]]):
        shown = r"\t" if marks[0] == "\t" else marks[0]
        return f"write the file with commas, or add {source.csv.option}delimiter='{shown}'; or "
    meant = did_you_mean(wanted, names)
    return f"did you mean {meant!r}? " if meant else ""


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Quote and join the names, and count those beyond the limit."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return (", ".join(map(_quoted, names[:limit])) or "none") + more


def _quoted(name: str) -> str:
    """Quote a name; of a text that was taken for one, the beginning."""
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}...")


def with_counts(names: Counter[str], limit: int = 20) -> str:
    """Quote and join the commonest names, each with its number of rows."""
    common = names.most_common(limit)
    return ", ".join(f"{_quoted(name)} ({count} rows)" for name, count in common)


def _is_text(kind: pa.DataType) -> bool:
    kind = plain(kind)
    return is_string(kind) or is_binary(kind) or pa.types.is_null(kind)
