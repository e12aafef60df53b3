"""Labels as files write them: numbers, classes by number, lists of one, a mark for none."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pet.data.columns import listed
from pet.data.data_files import Source
from pet.errors import InputError, Problem

UNLABELED = "-1"  # a row without a label: of scikit-learn, Snorkel and datasets

_WHOLE = re.compile(r"(-?\d+)\.0+")  # what a gap in a column makes of integers


def label_name(value: Any) -> str | None:
    """Return a label as text, None for null and blank; 1.0 is 1: a gap makes integers floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = "" if value is None or value != value else str(value)
    return text if text.strip() else None


def labels_of_rows(
    values: Sequence[Any],
    labels: Collection[str],
    classes: Sequence[str] = (),
    separator: str = "",
) -> list[tuple[str, ...]]:
    """Return the labels of every row as text: one; none where there is none; or several.

    What is no label of the task is read as a list of labels, as `1` for `1.0`, or as a class by its
    number, where it can be.

    Args:
        labels: the task's labels; empty where they are not known.
        classes: the names of the classes, if the file has them; see `class_names`.
        separator: what stands between the labels of a value that is a text; none if empty.
    """
    rows = [_listed_in(_split(value, labels, separator), labels) for value in values]
    numbers = {str(number): name for number, name in enumerate(classes)}
    if numbers and not set(classes) <= set(labels):
        known = {name for row in rows for name in row if name != UNLABELED}
        numbers = {} if known and known <= set(labels) else numbers
    return [tuple(numbers.get(name, name) for name in row) for row in rows]


def indicators(rows: Sequence[Iterable[str]], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Return whether each row has each of the labels, from the labels that it lists.

    Returns:
        [rows, labels]
    """
    places = {label: place for place, label in enumerate(labels)}
    found = np.zeros((len(rows), len(labels)), np.bool_)
    for row, own in enumerate(rows):
        found[row, [places[name] for name in own]] = True
    return found


def _split(value: Any, labels: Collection[str], separator: str) -> Any:
    """Cut a text into the labels that it lists; JSON stays as it is."""
    if not separator or not isinstance(value, str) or value.lstrip().startswith("["):
        return value
    return [value] if value in labels else [part.strip() for part in value.split(separator)]


def is_empty_list(value: Any) -> bool:
    """Return whether a value says that a row has none of the labels: `[]`, as a list or as JSON."""
    return value == [] or (
        isinstance(value, str) and re.fullmatch(r"\s*\[\s*\]\s*", value) is not None
    )


def _listed_in(value: Any, labels: Collection[str]) -> tuple[str, ...]:
    """Return the labels that a value names; a list comes as one, or as JSON."""
    if isinstance(value, str) and value not in labels and value.startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    names = map(label_name, value if isinstance(value, list) else [value])
    return tuple(dict.fromkeys(_plain(name, labels) for name in names if name is not None))


def _plain(name: str, labels: Collection[str]) -> str:
    whole = _WHOLE.fullmatch(name)
    if name in labels or whole is None:
        return name
    return whole[1] if whole[1] in labels or whole[1] == UNLABELED else name


def drop_unlabeled(labels: Collection[str]) -> set[str]:
    """Leave out -1 beside 0, 1, 2 and so on; beside 0 and 1 alone it may be a label, "negative"."""
    others = set(labels) - {UNLABELED}
    numbered = others == {str(number) for number in range(len(others))}
    return others if len(others) > 2 and numbered else set(labels)


def class_names(sources: Sequence[Source], column: str) -> list[str]:
    """Return the names that `datasets` writes into a Parquet file for a column's numbers.

    Raises:
        InputError: two files number them differently.
    """
    found = {tuple(_class_names(source.schema, column)): source for source in sources}
    if len(found) > 1:
        raise InputError(
            Problem(
                str(next(reversed(found.values())).path),
                f"the class names of the other files in {column!r}: {listed(next(iter(found)))}",
                listed(next(reversed(found))),
                "write the labels as text",
            )
        )
    return list(next(iter(found), ()))


def _class_names(schema: pa.Schema, column: str) -> list[str]:
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        feature = about["info"]["features"][column]
        names = feature["names"] if feature["_type"] == "ClassLabel" else []
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return names if isinstance(names, list) and all(isinstance(n, str) for n in names) else []
