"""Pools in: streamed, every row with an id, rows that cannot be used set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pet.data.arrow_types import has_text_form, is_binary, is_string, plain
from pet.data.columns import Need, check_columns
from pet.data.data_files import (
    FORMER_ENDINGS,
    UNSTATED,
    CsvFormat,
    Reason,
    Source,
    find_files,
)
from pet.data.readers import Chunk, count_rows, open_files, read_chunks, with_columns
from pet.data.rejections import RejectedRow
from pet.data.text_keys import VISIBLE
from pet.errors import InputError, Problem, first_line, input_error
from pet.storage.object_storage import path_of

# Columns of label files, which stand there beside those that a pool keeps.
LABEL_COLUMNS = (
    "id", "label", "confidence", "probabilities", "entropy", "agreement", "abstain", "source",
)  # fmt: skip

TREE_COLUMNS = ("node", "levels")  # stand there, too, where labels are a tree

SEVERAL = "labels"  # the column of lists, in the place of `label` where a text may have several


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
    null = np.zeros(len(chunk), bool)
    for name, column in columns.items():
        text, undecodable = _decode(chunk.table.column(column))
        broken |= undecodable
        null |= _mask(text.is_null())
        # CSV has no null: in every format, one beside a text is an empty field.
        texts[name] = text.fill_null("")
        blank &= _is_blank(texts[name])
    reasons[blank] = Reason.EMPTY
    reasons[blank & null] = Reason.NO_TEXT
    reasons[broken] = Reason.UNDECODABLE
    ids = None
    if id_column is not None:
        ids, undecodable = _as_ids(chunk.table.column(id_column))
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
    raw = column.cast(pa.large_binary())
    try:
        return raw.cast(pa.large_string()), np.zeros(len(column), bool)
    except pa.ArrowInvalid:
        texts = [_decode_one(value) for value in raw.to_pylist()]
        strings = pa.array(texts, pa.large_string())
        return strings, _mask(strings.is_null()) & ~_mask(raw.is_null())


def _as_ids(column: pa.Array) -> tuple[pa.Array, NDArray[np.bool_]]:
    """Return the text form of ids, as `_decode` does; bytes that are no text are written in hex."""
    kind = plain(column.type)
    if not has_text_form(kind) and not is_binary(kind):
        return _decode(column)
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        return column.cast(pa.large_string()), np.zeros(len(column), bool)
    texts = [None if value is None else _text_form(value, kind) for value in column.to_pylist()]
    return pa.array(texts, pa.large_string()), np.zeros(len(column), bool)


def _text_form(value: Any, kind: pa.DataType) -> str:
    if pa.types.is_decimal(kind):
        return f"{value:f}"
    if not isinstance(value, bytes):
        return str(value)
    text = None if pa.types.is_fixed_size_binary(kind) else _decode_one(value)
    return text if text is not None and (text.isprintable() or not text) else value.hex()


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
    return ~_mask(pc.fill_null(pc.match_substring_regex(texts, VISIBLE), False))


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


@dataclass(frozen=True, eq=False)
class Pool:
    """Unlabeled texts in a file or a folder of files; only their columns have been read so far.

    Attributes:
        sources: the files, sorted by relative name.
        columns: field -> column in the files.
        id_column: None where row ids are `<file>:<row>`.
        passed_over: relative name of every file that is not read -> how to convert it, if known.
    """

    path: Path
    sources: list[Source]
    columns: Mapping[str, str]
    id_column: str | None
    passed_over: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        return [source.path for source in self.sources]

    def as_formerly(self) -> Pool:
        """Return the pool of the files that former versions have read."""
        former = [own for own in self.sources if own.path.suffix.lower() in FORMER_ENDINGS]
        return replace(self, sources=former)

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
        return (self._batch(group, number * rows, schema) for number, group in groups)

    def keepable(self, names: Sequence[str], note: Callable[[str], None]) -> tuple[str, ...]:
        """Return those columns that every file has, of one type; of the others say so.

        For a pool that comes to a run which was made with other files: nobody can take its
        settings back any more.
        """
        kept = []
        for name in names:
            without = [source for source in self.sources if name not in source.schema.names]
            if without:
                note(f"warning: {without[0].name} has no column {name!r}: it is not kept")
                continue
            try:
                self.kept_schema([name])
            except InputError as error:
                problem = error.problems[0]
                note(
                    f"warning: the column {name!r} is not kept: expected {problem.expected}, "
                    f"found {problem.found}"
                )
            else:
                kept.append(name)
        return tuple(kept)

    def keepable_beside_labels(
        self, names: Sequence[str], note: Callable[[str], None]
    ) -> tuple[str, ...]:
        """Return those of them that label files have room for, too.

        Runs of before keep columns whose names label files have taken since.
        """
        for name in sorted(set(names) & set(LABEL_COLUMNS)):
            note(f"warning: the column {name!r} is not kept: label files have one of that name")
        return self.keepable([name for name in names if name not in LABEL_COLUMNS], note)

    def kept_schema(self, keep_columns: Sequence[str]) -> pa.Schema:
        """Find the types of the pool's own columns: those that hold every file's values.

        Raises:
            InputError: a file lacks a column, or the types of two files have nothing in common.
        """
        needs = [Need(name, "to keep", "--set keep_columns=...") for name in keep_columns]
        check_columns(self.sources, needs)
        fields = []
        for name in dict.fromkeys(keep_columns):
            types = dict.fromkeys(plain(source.schema.field(name).type) for source in self.sources)
            schemas = [pa.schema([(name, kind)]) for kind in types]
            try:
                fields.append(pa.unify_schemas(schemas, promote_options="permissive").field(0))
            except (pa.ArrowInvalid, pa.ArrowTypeError):
                found = ", ".join(map(str, types))
                raise InputError(
                    Problem(
                        str(self.path),
                        f"one type for the column {name!r}",
                        found,
                        "write the files with the same types, or do not keep the column",
                    )
                ) from None
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

    def _batch(self, chunks: Sequence[Chunk], place: int, schema: pa.Schema) -> PoolBatch:
        pieces = []
        for chunk in chunks:
            pieces.append(clean(chunk, place, self.columns, self.id_column, schema))
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


def open_pool(
    path: str | Path,
    fields: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    id_column: str | None = "id",
    needs: Sequence[Need] = (),
    keep_columns: Sequence[str] = (),
    written: CsvFormat = UNSTATED,
) -> Pool:
    """Open a file or a folder of data files; their rows are not read yet.

    Args:
        path: the file or folder; subfolders are read too, names with `.` or `_` first are not.
        fields: the task's fields.
        columns: field -> column in the files, where the name differs.
        id_column: the column of row ids; without it, ids are `<relative file>:<row>`.
        needs: other columns that every file must have.
        keep_columns: columns that batches may be asked for.
        written: how CSV files are written.

    Raises:
        InputError: all problems of all files: missing, empty, broken, without a column.
    """
    path = path_of(path)
    found = find_files(path)
    pool = pool_of(
        path,
        open_files(path, found.files, written),
        fields,
        columns=columns,
        id_column=id_column,
        needs=needs,
        keep_columns=keep_columns,
    )
    return replace(pool, passed_over=found.passed_over)


def pool_of(
    path: Path,
    sources: Sequence[Source],
    fields: Sequence[str],
    *,
    columns: Mapping[str, str] | None = None,
    id_column: str | None = "id",
    needs: Sequence[Need] = (),
    keep_columns: Sequence[str] = (),
) -> Pool:
    """Make a pool of files that are open already; for the arguments see `open_pool`.

    Raises:
        InputError: columns that are missing, or hold no text.
    """
    mapping = {name: (columns or {}).get(name, name) for name in fields}
    option = "--text-column" if len(mapping) == 1 else ""
    every = [*(Need(column, "of text", option) for column in mapping.values()), *needs]
    ids = [] if id_column is None else [id_column]
    names = [*(need.column for need in every), *ids, *keep_columns]
    sources = [with_columns(source, names) for source in sources]
    with_ids = any(set(ids) & set(source.schema.names) for source in sources)
    if ids and (with_ids or id_column != "id"):
        every.append(Need(ids[0], "of ids", "--set id_column=..."))
    check_columns(sources, every)
    return Pool(path, sources, mapping, id_column if with_ids else None)
