"""Consecutive rows of a pool: those that can be used, and why the others cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pet.columns import is_string, plain
from pet.errors import first_line, input_error
from pet.sources import Reason
from pet.tables import Chunk


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be used; `row` counts from 0 within the file."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True, eq=False)
class TextTable:
    """Rows that can be used, in file order.

    Attributes:
        ids: one per row.
        columns: field -> texts, one per row.
    """

    ids: list[str]
    columns: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class PoolBatch(TextTable):
    """The usable rows among some consecutive rows of a pool.

    Attributes:
        rows: place of each usable row in the whole pool. [rows]
        kept: the pool's own columns that were asked for, aligned with `ids`.
        rejected: the other rows.
    """

    rows: NDArray[np.int64]
    kept: pa.Table | None
    rejected: list[RejectedRow]


def clean(
    chunk: Chunk, place: int, columns: Mapping[str, str], id_column: str | None, schema: pa.Schema
) -> PoolBatch:
    """Set aside what cannot be used; the later reason wins where a row has several.

    Raises:
        InputError: a column to keep has values that its common type cannot hold.
    """
    texts, reasons = {}, np.full(len(chunk), None)
    broken = np.zeros(len(chunk), bool)
    blank = np.ones(len(chunk), bool)
    for name, column in columns.items():
        texts[name], undecodable = _decode(chunk.table.column(column))
        broken |= undecodable
        blank &= _is_blank(texts[name])
    reasons[blank] = Reason.EMPTY
    for text in texts.values():
        reasons[_mask(text.is_null())] = Reason.NO_TEXT
    reasons[broken] = Reason.UNDECODABLE
    ids = None
    if id_column is not None:
        ids, undecodable = _decode(chunk.table.column(id_column))
        reasons[_mask(ids.is_null()) | _is_blank(ids)] = Reason.NO_ID
        reasons[undecodable] = Reason.UNDECODABLE
    faulty = ~_is_none(chunk.faults)
    reasons[faulty] = chunk.faults[faulty]
    usable = _is_none(reasons)
    numbers = np.flatnonzero(usable)
    name = chunk.source.name
    return PoolBatch(
        _take(ids, usable) if ids is not None else [f"{name}:{chunk.first + n}" for n in numbers],
        {key: _take(text, usable) for key, text in texts.items()},
        place + numbers,
        _keep(chunk, schema, usable) if len(schema) else None,
        [RejectedRow(name, int(chunk.first + n), str(reasons[n])) for n in np.flatnonzero(~usable)],
    )


def _decode(column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return strings, null where bytes are not UTF-8, and a mask of those places."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.large_string()), np.zeros(len(column), bool)
    if isinstance(column.type, pa.UuidType):
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.array(texts, pa.large_string()), np.zeros(len(column), bool)
    raw = column.cast(pa.large_binary())
    try:
        return raw.cast(pa.large_string()), np.zeros(len(column), bool)
    except pa.ArrowInvalid:
        texts = [_decode_one(value) for value in raw.to_pylist()]
        strings = pa.array(texts, pa.large_string())
        return strings, _mask(strings.is_null()) & ~_mask(raw.is_null())


def _decode_one(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _is_none(values: NDArray[np.object_]) -> NDArray[np.bool_]:
    return np.array([value is None for value in values], bool)


def _mask(array: pa.Array) -> NDArray[np.bool_]:
    return array.to_numpy(zero_copy_only=False).astype(bool)


def _is_blank(texts: pa.Array) -> NDArray[np.bool_]:
    trimmed = pc.binary_length(pc.utf8_trim_whitespace(texts))
    return _mask(pc.fill_null(pc.equal(trimmed, 0), True))


def _take(texts: pa.Array, usable: NDArray[np.bool_]) -> list[str]:
    chosen = texts if usable.all() else texts.filter(pa.array(usable))
    return list(chosen.to_pylist())


def _keep(chunk: Chunk, schema: pa.Schema, usable: NDArray[np.bool_]) -> pa.Table:
    arrays = []
    for wanted in schema:
        column = chunk.table.column(wanted.name)
        if is_string(plain(column.type)):
            column, _ = _decode(column)  # what is not UTF-8 is null
        try:
            column = column if column.type == wanted.type else column.cast(wanted.type)
            arrays.append(column.filter(pa.array(usable)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise input_error(
                chunk.source.path,
                f"values of the column {wanted.name!r} that can be kept as {wanted.type}",
                f"{column.type}: {first_line(error)}",
                "write the files with the same types, or do not keep the column",
            ) from error
    return pa.Table.from_arrays(arrays, schema=schema)


def join_batches(pieces: Sequence[PoolBatch], columns: Mapping[str, str]) -> PoolBatch:
    """Make one batch of several that follow each other."""
    if len(pieces) == 1:
        return pieces[0]
    kept = [piece.kept for piece in pieces if piece.kept is not None]
    return PoolBatch(
        [id for piece in pieces for id in piece.ids],
        {name: [text for piece in pieces for text in piece.columns[name]] for name in columns},
        np.concatenate([np.empty(0, np.int64), *(piece.rows for piece in pieces)]),
        pa.concat_tables(kept) if kept else None,
        [row for piece in pieces for row in piece.rejected],
    )
