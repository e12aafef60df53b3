"""Texts and labels as Python holds them: lists, arrays, Series and DataFrames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.utils import column_or_1d

from pet.data.columns import listed
from pet.data.label_values import label_name
from pet.errors import InputError, Problem

TextColumns = dict[str, list[str | None]]

UNLABELED = -1  # scikit-learn's mark of a row without a label


def text_columns(X: Any, fields: Sequence[str], where: str = "X") -> TextColumns:
    """Return the texts of every field; None where there is none (None, NaN, NA).

    Args:
        X: texts of a task with one field; or a table with a column per field: a DataFrame with
            columns of these names, an array or a list of rows with the fields in order.
        where: what to call it in problems.

    Raises:
        InputError: it is something else, or has other columns.
    """
    # A DataFrame's columns are their names; those of an Arrow table, or of `datasets`, are not.
    names = "column_names" if hasattr(type(X), "column_names") else "columns"
    columns = getattr(X, names, None)
    if columns is not None and hasattr(X, "__getitem__"):
        missing = [name for name in fields if name not in list(columns)]
        if missing:
            raise InputError(
                Problem(
                    where,
                    f"the columns {listed(fields)}",
                    listed(list(map(str, columns))),
                    "rename the columns, or name the task's fields like them",
                )
            )
        return {name: _texts(_plain(X[name]), f"{where}, column {name!r}") for name in fields}
    if isinstance(X, str | bytes | dict) or not hasattr(X, "__len__"):
        raise _no_texts(where, f"one {type(X).__name__}")
    rows = _plain(X)
    if any(isinstance(row, list | tuple | np.ndarray) for row in rows):
        return _split_rows(rows, fields, where)
    if len(fields) > 1:
        raise InputError(
            Problem(
                where,
                f"a table with the columns {listed(fields)}",
                "single texts",
                "give a DataFrame with these columns",
            )
        )
    return {fields[0]: _texts(rows, where)}


def _plain(values: Any) -> list[Any]:
    """Return the values of an array, a Series, a column of Arrow's or a list as Python has them."""
    for convert in ("to_pylist", "tolist"):
        if hasattr(values, convert):
            return list(getattr(values, convert)())
    return list(values)


def _split_rows(rows: Sequence[Any], fields: Sequence[str], where: str) -> TextColumns:
    widths = sorted({len(row) if isinstance(row, list | tuple | np.ndarray) else 1 for row in rows})
    if widths != [len(fields)]:
        raise InputError(
            Problem(
                where,
                f"rows of {len(fields)}: {listed(fields)}",
                f"rows of {', '.join(map(str, widths))}",
                "give one column per field",
            )
        )
    return {
        name: _texts([row[place] for row in rows], f"{where}, column {name!r}")
        for place, name in enumerate(fields)
    }


def _texts(values: list[Any], where: str) -> list[str | None]:
    try:
        # Arrow knows every way of saying "nothing", and refuses what is not valid Unicode.
        return list(pa.array(values, pa.large_string(), from_pandas=True).to_pylist())
    except (pa.ArrowException, UnicodeError, TypeError) as error:
        raise _no_texts(where, str(error).splitlines()[0][:200]) from None


def _no_texts(where: str, found: str) -> InputError:
    return InputError(
        Problem(
            where,
            "texts: a list, an array or a Series of str, or a DataFrame of them",
            found,
            "convert numbers to text first, and bytes by .decode()",
        )
    )


def complete(texts: TextColumns, where: str = "X") -> dict[str, list[str]]:
    """Return the texts where every row has one, and there is at least one row.

    As in files, what is missing beside a text in another field is an empty field.

    Raises:
        InputError: otherwise.
    """
    rows = list(zip(*texts.values(), strict=True))
    gaps = [i for i, row in enumerate(rows) if not any(row) and None in row]
    if gaps or not rows:
        found = f"none in {len(gaps)} rows, the first is row {gaps[0]}" if gaps else "no rows"
        raise InputError(
            Problem(
                where,
                "a text in every row, and at least one row",
                found,
                "leave these rows out, or fill them",
            )
        )
    return {name: [text or "" for text in column] for name, column in texts.items()}


def known_labels(y: Any, labels: Sequence[str], rows: int) -> tuple[list[str | None], NDArray[Any]]:
    """Return every row's label as text, None for unlabeled rows, and the classes.

    Unlabeled is what is None, NaN or NA; and -1, as in `sklearn.semi_supervised`, unless the task
    has a label of that name. The classes are all of the task's labels as `y` writes them (text,
    whole numbers, booleans), also those without an example, and sorted.

    Raises:
        InputError: not one label per row, labels that the task does not have or of several kinds.
    """
    if y is None:
        return [None] * rows, np.array(sorted(labels))
    if (shape := np.shape(np.asarray(y, dtype=object)))[1:] and shape[1] > 1:
        raise InputError(
            Problem(
                "y",
                "one label for every row",
                f"a table of {shape[1]} columns",
                'give one label a row; or add labels_per_text = "any" to the task, where a text '
                "may have several",
            )
        )
    missing = np.asarray(y.isna()) if hasattr(y, "isna") else np.zeros(len(y), dtype=bool)
    values = column_or_1d(np.asarray(y, dtype=object), warn=True).tolist()
    if len(values) != rows:
        raise InputError(
            Problem(
                "y",
                f"a label for each of the {rows} rows of X",
                f"{len(values)} labels",
                "give None for rows without a label",
            )
        )
    names = [
        None if gap or (_is_mark(value) and str(UNLABELED) not in labels) else label_name(value)
        for value, gap in zip(values, missing, strict=True)
    ]
    unknown = sorted({name for name in names if name is not None} - set(labels))
    if unknown:
        raise InputError(
            Problem(
                "y",
                f"the task's labels: {listed(labels)}",
                f"other labels: {listed(unknown)}",
                "correct y, or the task's labels",
            )
        )
    known = {name: value for name, value in zip(names, values, strict=True) if name is not None}
    return names, _classes(known, labels)


def known_sets(
    y: Any, labels: Sequence[str], rows: int
) -> tuple[list[tuple[str, ...] | None], NDArray[Any]]:
    """Return the labels of every row where a text may have several, None for unlabeled rows.

    Args:
        y: an indicator matrix of 0 and 1, as scikit-learn has it, with a column for every label of
            the task, sorted, as by `MultiLabelBinarizer`; or a DataFrame of such columns by name;
            or a list of labels for every row. Rows of -1 or gaps, and None, are unlabeled.
        rows: of X.

    Returns:
        the labels of each row; all of the task's labels, sorted.

    Raises:
        InputError: it is something else, or has other labels.
    """
    classes = sorted(labels)
    if y is None:
        return [None] * rows, np.array(classes)
    names = classes
    if (columns := getattr(y, "columns", None)) is not None:
        names, y = [str(label_name(column)) for column in columns], y.to_numpy()
    values = _plain(y.toarray() if hasattr(y, "toarray") else y)
    if columns is not None and sorted(names) != classes:
        raise _no_sets(f"the columns {listed(names)}", labels)
    if len(values) != rows:
        raise _no_sets(f"{len(values)} rows for {rows} of X", labels)
    found = [_own_labels(value, names) for value in values]
    known = {name for own in found if own is not None for name in own}
    if unknown := sorted(known - set(labels)):
        raise _no_sets(f"other labels: {listed(unknown)}", labels)
    return found, np.array(classes)


def _own_labels(value: Any, names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the labels of one row, from its indicators or its list; None where it has no answer.

    Raises:
        InputError: it is neither.
    """
    if value is None or _is_mark(value) or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if not isinstance(value, list | tuple | np.ndarray):
        raise _no_sets(repr(value), names)
    own = _plain(value)
    if len(own) == len(names) and all(isinstance(n, bool | int | float) for n in own):
        if all(_is_mark(n) or n != n for n in own):
            return None
        if any(n not in (0, 1) for n in own):
            raise _no_sets(f"{listed(list(map(str, own)))} in a row", names)
        return tuple(name for name, has in zip(names, own, strict=True) if has)
    return tuple(dict.fromkeys(str(label_name(name)) for name in own))


def _no_sets(found: str, labels: Sequence[str]) -> InputError:
    return InputError(
        Problem(
            "y",
            f"0 or 1 for every row and each of {listed(sorted(labels))}, or a list of labels for "
            "every row",
            found,
            "columns are sorted, as by sklearn.preprocessing.MultiLabelBinarizer; give [] for a "
            "row with none of the labels, None for one without an answer",
        )
    )


def _is_mark(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and value == UNLABELED


def _classes(known: dict[str, Any], labels: Sequence[str]) -> NDArray[Any]:
    kinds = {type(value) for value in known.values()} or {str}
    kind = kinds.pop()
    try:
        if kinds:
            raise ValueError("labels of several kinds")
        written = {label: label == "True" if kind is bool else kind(label) for label in labels}
        if any(label_name(value) != label for label, value in written.items()):
            raise ValueError(f"labels that are no {kind.__name__}")
    except (TypeError, ValueError):
        raise InputError(
            Problem(
                "y",
                f"labels of one kind, for all of {listed(labels)}",
                ", ".join(sorted({type(v).__name__ for v in known.values()})),
                "give them as text, as they stand in the task",
            )
        ) from None
    return np.array(sorted(written.values()))
