"""Pools in: streamed, every row with an id, rows that cannot be used set aside."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pet.errors import InputError, Problem
from pet.object_storage import path_of
from pet.readers import Reason, Source
from pet.tables import Chunk, count_rows, group_problems, open_sources, read_chunks


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


@dataclass(frozen=True, eq=False)
class Pool:
    """Unlabeled texts in a file or a folder of files; only their columns have been read so far.

    Attributes:
        sources: the files, sorted by relative name.
        columns: field -> column in the files.
        id_column: None where row ids are `<file>:<row>`.
    """

    path: Path
    sources: list[Source]
    columns: Mapping[str, str]
    id_column: str | None

    @property
    def files(self) -> list[Path]:
        return [source.path for source in self.sources]

    def count_rows(self) -> int:
        """Count all rows, usable or not: free for Parquet, one pass over CSV and JSONL."""
        return sum(map(count_rows, self.sources))

    def batches(
        self, rows: int = 10_000, keep_columns: Sequence[str] = (), first: int = 0
    ) -> Iterator[PoolBatch]:
        """Stream the pool: batch k covers raw rows [k * rows, (k + 1) * rows), the last fewer.

        Args:
            first: the batch to begin with; what lies before it is passed over, not read, as far as
                the files allow.

        Raises:
            InputError: a file lacks a column of `keep_columns`, or they differ in type (at once).
            PetError: a file changes, disappears or turns out to be damaged (while reading).
        """
        assert rows > 0, "a batch has at least one row"
        schema = self.kept_schema(keep_columns)
        groups = enumerate(_regroup(self._chunks(schema.names, first * rows), rows), first)
        return (self._clean(group, number * rows, schema) for number, group in groups)

    def keepable(self, names: Sequence[str], say: Callable[[str], None]) -> tuple[str, ...]:
        """Return those columns that every file has; of the others say so.

        For a pool that comes to a run which was made with other files: nobody can take its
        settings back any more.
        """
        kept = []
        for name in names:
            without = [source for source in self.sources if name not in source.schema.names]
            if without:
                say(f"warning: {without[0].name} has no column {name!r}: it is not kept")
            else:
                kept.append(name)
        return tuple(kept)

    def kept_schema(self, keep_columns: Sequence[str]) -> pa.Schema:
        """Find the types of the pool's own columns: those that hold every file's values.

        Raises:
            InputError: a file lacks a column, or the types of two files have nothing in common.
        """
        needs = [Need(name, "to keep", "--set keep_columns=...") for name in keep_columns]
        _check_columns(self.sources, needs)
        fields = []
        for name in dict.fromkeys(keep_columns):
            types = dict.fromkeys(_plain(source.schema.field(name).type) for source in self.sources)
            schemas = [pa.schema([(name, kind)]) for kind in types]
            try:
                fields.append(pa.unify_schemas(schemas, promote_options="permissive").field(0))
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                found = ", ".join(map(str, types))
                raise InputError(
                    Problem(str(self.path), f"one type for the column {name!r}", found,
                            "write the files with the same types, or do not keep the column")
                ) from None  # fmt: skip
        return pa.schema(fields)

    def _chunks(self, keep: Sequence[str], start: int) -> Iterator[Chunk]:
        texts = list(self.columns.values())
        others = [*keep] if self.id_column is None else [self.id_column, *keep]
        for source in self.sources:
            if start and (rows := count_rows(source)) <= start:
                start -= rows
                continue
            yield from read_chunks(source, texts, others, start)
            start = 0

    def _clean(self, chunks: Sequence[Chunk], place: int, schema: pa.Schema) -> PoolBatch:
        pieces = []
        for chunk in chunks:
            pieces.append(_clean(chunk, place, self.columns, self.id_column, schema))
            place += len(chunk)
        return join_batches(pieces, self.columns)


def _regroup(chunks: Iterable[Chunk], rows: int) -> Iterator[list[Chunk]]:
    """Cut chunks of any size into groups of exactly `rows` rows; the last may have fewer."""
    group: list[Chunk] = []
    room = rows
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            stop = min(len(chunk), start + room)
            group.append(chunk.cut(start, stop))
            room -= stop - start
            start = stop
            if not room:
                yield group
                group, room = [], rows
    if group:
        yield group


def _clean(
    chunk: Chunk, place: int, columns: Mapping[str, str], id_column: str | None, schema: pa.Schema
) -> PoolBatch:
    """Set aside what cannot be used; the later reason wins where a row has several."""
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
        _keep(chunk.table, schema, usable) if len(schema) else None,
        [RejectedRow(name, int(chunk.first + n), str(reasons[n])) for n in np.flatnonzero(~usable)],
    )


def _decode(column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return strings, null where bytes are not UTF-8, and a mask of those places."""
    if pa.types.is_integer(column.type):
        return column.cast(pa.large_string()), np.zeros(len(column), bool)
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


def _keep(table: pa.RecordBatch, schema: pa.Schema, usable: NDArray[np.bool_]) -> pa.Table:
    arrays = []
    for wanted in schema:
        column = table.column(wanted.name)
        if _is_string(_plain(column.type)):
            column, _ = _decode(column)  # what is not UTF-8 is null
        arrays.append(column if column.type == wanted.type else column.cast(wanted.type))
    return pa.Table.from_arrays(arrays, schema=schema).filter(pa.array(usable))


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


@dataclass(frozen=True)
class Need:
    """A column that every file must have, and the option that names another."""

    column: str
    what: str
    option: str


def open_pool(
    path: str | Path,
    fields: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    id_column: str = "id",
    needs: Sequence[Need] = (),
) -> Pool:
    """Open a file or a folder of Parquet, CSV and JSONL files; their rows are not read yet.

    Args:
        path: the file or folder; subfolders are read too, names with `.` or `_` first are not.
        fields: the task's fields.
        columns: field -> column in the files, where the name differs.
        id_column: the column of row ids; without it, ids are `<relative file>:<row>`.
        needs: other columns that every file must have.

    Raises:
        InputError: all problems of all files: missing, empty, broken, without a column.
    """
    path = path_of(path)
    sources = open_sources(path)
    return pool_of(path, sources, fields, columns=columns, id_column=id_column, needs=needs)


def pool_of(
    path: Path, sources: Sequence[Source], fields: Sequence[str], *,
    columns: Mapping[str, str] | None = None, id_column: str = "id", needs: Sequence[Need] = (),
) -> Pool:  # fmt: skip
    """Make a pool of files that are open already; for the arguments see `open_pool`.

    Raises:
        InputError: columns that are missing, or hold no text.
    """
    mapping = {name: (columns or {}).get(name, name) for name in fields}
    option = "--text-column" if len(mapping) == 1 else ""
    every = [*(Need(column, "of text", option) for column in mapping.values()), *needs]
    with_ids = any(id_column in source.schema.names for source in sources)
    if with_ids or id_column != "id":
        every.append(Need(id_column, "of ids", "--set id_column=..."))
    _check_columns(sources, every)
    return Pool(path, list(sources), mapping, id_column if with_ids else None)


def _check_columns(sources: Sequence[Source], needs: Sequence[Need]) -> None:
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
        return Problem(str(source.path), expected, f"the columns {listed(names)}",
                       _suggest(need.column, names) + option)  # fmt: skip
    if names.count(need.column) > 1:
        found = f"{names.count(need.column)} columns of that name"
        return Problem(str(source.path), expected, found, "give every column its own name")
    kind = source.schema.field(need.column).type
    whole_ids = need.what == "of ids" and pa.types.is_integer(kind)
    if need.what in ("of text", "of ids") and not (whole_ids or _is_text(kind)):
        return Problem(str(source.path), expected, f"values of type {kind}", option)
    return None


def _suggest(wanted: str, names: Sequence[str]) -> str:
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        return "write the file with commas between the columns; or "
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(wanted.lower(), by_lower, n=1)
    return f"did you mean {by_lower[close[0]]!r}? " if close else ""


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Quote the names, and count those past the limit."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return (", ".join(map(repr, names[:limit])) or "none") + more


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_string(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_text(kind: pa.DataType) -> bool:
    kind, types = _plain(kind), pa.types
    is_bytes = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return _is_string(kind) or is_bytes or types.is_null(kind)
