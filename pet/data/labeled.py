"""Labeled sets in: rows with known labels, and what a person should know about them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.data.columns import Need, check_columns, listed, with_counts
from pet.data.data_files import UNSTATED, CsvFormat, Reason, passed_over_warnings
from pet.data.label_values import (
    UNLABELED,
    class_names,
    indicators,
    is_empty_list,
    label_name,
    labels_of_rows,
)
from pet.data.pool import Pool, PoolBatch, TextTable, join_batches, open_pool
from pet.data.readers import count_rows
from pet.data.rejections import RejectedRow, Rejections
from pet.data.text_keys import row_keys, text_key
from pet.errors import InputError, Problem, did_you_mean
from pet.storage.object_storage import path_of
from pet.storage.units import fingerprint


@dataclass(frozen=True, eq=False)
class LabeledSet(TextTable):
    """Rows with known labels.

    Attributes:
        labels: index into the task's labels [rows]; where a text may have several, whether it has
            each of them [rows, labels].
        rejected: rows that cannot be used.
        path: where it was read from.
        warnings: what a person should know about it.
    """

    labels: NDArray[Any]
    rejected: list[RejectedRow]
    path: Path
    warnings: list[str] = field(default_factory=list)


def read_labeled(
    path: str | Path,
    fields: Sequence[str],
    labels: Sequence[str],
    *,
    label_column: str = "label",
    columns: Mapping[str, str] | None = None,
    id_column: str | None = "id",
    max_rejected: float = 0.1,
    written: CsvFormat = UNSTATED,
    several: bool = False,
    separator: str = "",
) -> LabeledSet:
    """Read a labeled set; labels are compared as text, so that 1 in the data is "1" in the task.

    Args:
        path: a file, or a folder of files.
        fields: the task's fields.
        labels: the task's labels.
        label_column: the column of labels.
        columns: field -> column in the file, where the name differs.
        id_column: the column of row ids, where there is one.
        max_rejected: the share of rows that may be unusable.
        written: how CSV files are written.
        several: whether a row may have several labels, or none (an empty list). Where no file has
            the column of labels, each label's own column is read: 1 or true where a row has it, 0
            or false where not.
        separator: what stands between the labels of a cell that is no list; none if empty.

    Raises:
        InputError: all problems of the file at once: columns, unknown labels, ids that occur
            twice, too many unusable rows.
    """
    path = path_of(path)
    what = "of labels, or one of 0 and 1 for every label" if several else "of labels"
    need = Need(label_column, what, "--label-column")
    indices = {str(label): index for index, label in enumerate(labels)}
    pool = open_pool(
        path,
        fields,
        columns=columns,
        id_column=id_column,
        needs=[] if several else [need],
        keep_columns=[label_column, *indices] if several else [],
        written=written,
    )
    if several and _has_indicators(pool, label_column, list(indices)):
        batch = join_batches(list(pool.batches(keep_columns=list(indices))), pool.columns)
        sets = _sets_by_column(path, batch, list(indices))
        named = [tuple(own or ()) for own in sets]
        return _with_several(pool, batch, sets, named, indices, max_rejected)
    check_columns(pool.sources, [need] if several else [])
    batch = join_batches(list(pool.batches(keep_columns=[label_column])), pool.columns)
    values = batch.kept.column(0).to_pylist() if batch.kept is not None else []
    classes = class_names(pool.sources, label_column)
    names = labels_of_rows(values, indices, classes, separator)
    if several:
        return _with_several(pool, batch, values, names, indices, max_rejected)
    table, known, rejected = _drop_unlabeled(pool, batch, names, indices)
    problems = _labeled_problems(path, table.ids, known, list(indices), rejected, max_rejected)
    problems += _several_labels(path, batch, names)
    if problems:
        raise InputError(problems)
    warnings = [
        *passed_over_warnings(str(path), pool.passed_over),
        *rejected_warnings(str(path), rejected, len(known) + len(rejected)),
        *_labeled_warnings(path, table, known, list(indices)),
    ]
    truth = np.array([indices[name] for name in known], np.int64)
    return LabeledSet(table.ids, table.columns, truth, rejected, path, warnings)


def _has_indicators(pool: Pool, label_column: str, labels: Sequence[str]) -> bool:
    """Return whether files have a column for each label in the place of one for all."""
    taken = {*pool.columns.values(), pool.id_column}
    return not taken & set(labels) and all(
        label_column not in source.schema.names and set(labels) <= set(source.schema.names)
        for source in pool.sources
    )


_INDICATORS = {"1": True, "true": True, "0": False, "false": False}


def _sets_by_column(path: Path, batch: PoolBatch, labels: Sequence[str]) -> list[list[str] | None]:
    """Return the labels of every row, from a column of 0 and 1 for each; None without an answer.

    A row has an answer if it has one for every label.

    Raises:
        InputError: other values in these columns.
    """
    if batch.kept is None:
        return []
    names = {label: list(map(label_name, batch.kept[label].to_pylist())) for label in labels}
    strange = Counter(
        f"{name} ({label})"
        for label, column in names.items()
        for name in column
        if name not in (None, UNLABELED) and str(name).strip().lower() not in _INDICATORS
    )
    if strange:
        raise InputError(
            Problem(
                str(path),
                "0 or 1, or true or false, in the column of each label",
                f"other values: {with_counts(strange, 5)}",
                "correct these cells; or name one column of labels with --label-column",
            )
        )
    known = [
        [
            None if name in (None, UNLABELED) else _INDICATORS[str(name).strip().lower()]
            for name in names[label]
        ]
        for label in labels
    ]
    return [
        None if None in own else [name for name, has in zip(labels, own, strict=True) if has]
        for own in zip(*known, strict=True)
    ]


def table_digest(table: LabeledSet) -> str:
    """Name a labeled set by its content: ids, texts and labels, wherever it is stored."""
    return fingerprint(ids=table.ids, columns=table.columns, labels=table.labels.tolist())


def _drop_unlabeled(
    pool: Pool,
    batch: PoolBatch,
    names: Sequence[tuple[str, ...]],
    labels: Collection[str],
) -> tuple[TextTable, list[str], list[RejectedRow]]:
    """Keep the rows with one label; return them, their labels, and all rows set aside in order."""
    missing = [index for index, own in enumerate(names) if not own]
    marked = [
        index for index, own in enumerate(names) if own == (UNLABELED,) and UNLABELED not in labels
    ]
    rejected = batch.rejected + _locate(pool, batch.rows[missing], Reason.NO_LABEL)
    rejected += _locate(pool, batch.rows[marked], Reason.UNLABELED)
    labeled = sorted({n for n, own in enumerate(names) if len(own) == 1} - set(marked))
    table = _taken(batch, labeled)
    known = [names[index][0] for index in labeled]
    return table, known, sorted(rejected, key=lambda row: (row.file, row.row))


def _with_several(
    pool: Pool,
    batch: PoolBatch,
    values: Sequence[Any],
    names: Sequence[tuple[str, ...]],
    indices: Mapping[str, int],
    max_rejected: float,
) -> LabeledSet:
    """Make a labeled set of rows that have any number of the labels.

    An empty list is a row with none of them; a blank or missing value is a row without an answer.

    Raises:
        InputError: all problems of the file at once.
    """
    path, labels = pool.path, list(indices)
    answered = [bool(own) or is_empty_list(value) for own, value in zip(names, values, strict=True)]
    marked = [own == (UNLABELED,) and UNLABELED not in indices for own in names]
    missing = [row for row, known in enumerate(answered) if not known]
    rejected = batch.rejected + _locate(pool, batch.rows[missing], Reason.NO_LABEL)
    rejected += _locate(pool, batch.rows[np.flatnonzero(marked)], Reason.UNLABELED)
    rejected.sort(key=lambda row: (row.file, row.row))
    kept = [row for row, known in enumerate(answered) if known and not marked[row]]
    table = _taken(batch, kept)
    known = [names[row] for row in kept]
    every = [name for own in known for name in own]
    problems = _labeled_problems(path, table.ids, every, labels, rejected, max_rejected)
    unknown = Counter(name for name in every if name not in indices)
    if separators := sorted({mark for name in unknown for mark in ";|," if mark in name}):
        fix = f'write labels_separated_by = "{separators[0]}" into the task file, or write lists'
        problems = [
            replace(own, fix=f"{fix}; or {own.fix}")
            if own.expected.startswith("the task's")
            else own
            for own in problems
        ]
    if problems:
        raise InputError(problems)
    truth = indicators(known, labels)
    warnings = [
        *passed_over_warnings(str(path), pool.passed_over),
        *rejected_warnings(str(path), rejected, len(kept) + len(rejected)),
        *_warnings_of_several(path, table, truth, labels),
    ]
    return LabeledSet(table.ids, table.columns, truth, rejected, path, warnings)


def _warnings_of_several(
    path: Path, table: TextTable, truth: NDArray[np.bool_], labels: Sequence[str]
) -> list[str]:
    rows = truth.sum(axis=0)
    warnings = [
        f"{path}: {MISSING} {label!r}: it is known by its words alone, and "
        "F1 measured on this file says nothing about it"
        for label, count in zip(labels, rows, strict=True)
        if not count
    ]
    warnings += [
        f"{path}: every row has the label {label!r}: nothing sets it apart from rows without it"
        for label, count in zip(labels, rows, strict=True)
        if len(truth) and count == len(truth)
    ]
    if len(truth) and (truth.sum(axis=1) == 1).all():
        warnings.append(
            f"{path}: every row has exactly one label; where that is always so, leave "
            'labels_per_text = "any" out of the task file: one label a text is easier to learn'
        )
    seen: dict[tuple[str, ...], int] = {}
    pairs = []
    for row, key in enumerate(row_keys(table.columns, list(table.columns))):
        first = seen.setdefault(key, row)
        if (truth[first] != truth[row]).any():
            pairs.append(f"{table.ids[first]} and {table.ids[row]}")
    if pairs:
        warnings.append(
            f"{path}: {len(pairs)} texts occur again with other labels, which no model can learn; "
            f"correct them (the first: {'; '.join(pairs[:3])})"
        )
    return warnings


def _taken(batch: PoolBatch, rows: Sequence[int]) -> TextTable:
    return TextTable(
        [batch.ids[row] for row in rows],
        {name: [column[row] for row in rows] for name, column in batch.columns.items()},
    )


def _locate(pool: Pool, places: NDArray[np.int64], reason: Reason) -> list[RejectedRow]:
    """Name rows by file and row."""
    if not len(places):
        return []
    ends = np.cumsum([count_rows(source) for source in pool.sources])
    located = []
    for place in places:
        file = int(np.searchsorted(ends, place, side="right"))
        row = int(place - (ends[file - 1] if file else 0))
        located.append(RejectedRow(pool.sources[file].name, row, reason.value))
    return located


def _labeled_problems(
    path: Path,
    ids: Sequence[str],
    names: Sequence[str],
    labels: Sequence[str],
    rejected: Sequence[RejectedRow],
    max_rejected: float,
) -> list[Problem]:
    where, problems = str(path), []
    unknown = Counter(name for name in names if name not in labels)
    if unknown:
        problems.append(
            Problem(
                where,
                f"the task's labels: {listed(labels)}",
                f"other labels: {with_counts(unknown)}",
                _meant(unknown, labels)
                + "correct the file or the task's [labels]; is --label-column right?",
            )
        )
    twice = [id for id, count in Counter(ids).items() if count > 1]
    if twice:
        problems.append(
            Problem(
                where,
                "an id of its own for every row",
                f"{len(twice)} ids that occur more than once: {listed(twice, 5)}",
                "correct the ids, or name another column with --set id_column=...",
            )
        )
    # Rows that are marked as unlabeled are no mistake.
    wrong = sum(row.reason != Reason.UNLABELED for row in rejected)
    if not ids or wrong > max_rejected * (len(ids) + wrong):
        expected = f"at most {max_rejected:.0%} unusable rows" if ids else "at least one usable row"
        total, counted = len(ids) + len(rejected), Rejections(rejected)
        problems.append(
            Problem(
                where,
                expected,
                f"{len(counted):,} of {total:,}: {counted}" if total else "no rows at all",
                counted.fix("correct these rows; are --text-column and --label-column right?"),
            )
        )
    return problems


def _several_labels(
    path: Path, batch: PoolBatch, names: Sequence[tuple[str, ...]]
) -> list[Problem]:
    several = [index for index, own in enumerate(names) if len(own) > 1]
    if not several:
        return []
    first = several[0]
    return [
        Problem(
            str(path),
            "one label in every row",
            f"several in {len(several):,} rows, the first with the id {batch.ids[first]!r}: "
            f"{listed(names[first])}",
            "keep one of them, or leave these rows out: a text has one label here; or write "
            'labels_per_text = "any" into the task file',
        )
    ]


SLIPS = 1000  # unknown labels that are compared with the known ones; a column of texts has more


def _meant(unknown: Iterable[str], labels: Sequence[str]) -> str:
    """Suggest labels for those that are not the task's: blanks, case, a slip of the finger."""
    alike = {text_key(label): label for label in labels}
    slips: dict[str, list[str]] = {}
    for name in islice(unknown, SLIPS):
        if label := alike.get(text_key(name)) or did_you_mean(name, labels):
            same = unicodedata.normalize("NFKC", name) == unicodedata.normalize("NFKC", label)
            slips.setdefault(label, []).append(ascii(name) if same else repr(name))
    meant = [f"{', '.join(names)} for {label!r}" for label, names in slips.items()]
    return f"a slip? {'; '.join(meant[:5])}; " if meant else ""


def rejected_warnings(where: str, rejected: Sequence[RejectedRow], total: int) -> list[str]:
    """Warn of rows that are set aside, if there are any: how many of how many, and why."""
    if not rejected:
        return []
    counted = Rejections(rejected)
    return [f"{where}: {len(counted):,} of {total:,} rows cannot be used: {counted}"]


MISSING = "no example of the label"  # of warnings that ask for rows, not for corrections


def _labeled_warnings(
    path: Path, table: TextTable, names: Sequence[str], labels: Sequence[str]
) -> list[str]:
    warnings = [
        f"{path}: {MISSING} {label!r}: it is known by its words alone, and "
        "accuracy measured on this file says nothing about it"
        for label in labels
        if label not in names
    ]
    seen: dict[tuple[str, ...], dict[str, str]] = {}
    for id, name, key in zip(
        table.ids, names, row_keys(table.columns, list(table.columns)), strict=True
    ):
        seen.setdefault(key, {}).setdefault(name, id)
    contradictions = [tuple(found.values()) for found in seen.values() if len(found) > 1]
    if contradictions:
        rows = "; ".join(" and ".join(pair) for pair in contradictions[:3])
        warnings.append(
            f"{path}: {len(contradictions)} texts occur with more than one label, which no model "
            f"can learn; correct them (the first: {rows})"
        )
    return warnings
