"""Raw rows out of one data file; a row that cannot be read costs itself alone."""

from __future__ import annotations

import bisect
import contextlib
import csv
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.data.arrow_reader import count_arrow, peek_arrow, read_arrow
from pet.data.arrow_types import is_string
from pet.data.data_files import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    ROW_BYTES,
    UNSTATED,
    CsvFormat,
    RawRows,
    Source,
    find_files,
    kind_of_name,
    partition_of,
    special_kind,
)
from pet.data.limited_process import call_limited, is_limited
from pet.data.spreadsheets import unescaped
from pet.data.text_readers import (
    filled_lines,
    find_keys,
    peek_csv,
    peek_jsonl,
    read_csv,
    read_jsonl,
)
from pet.data.unpacking import most_unpacked, open_unpacked, unpacks_to_too_much
from pet.errors import (
    InputError,
    PetError,
    Problem,
    first_line,
    group_problems,
    input_error,
    interrupted_read,
)
from pet.progress import Observer
from pet.storage.object_storage import (
    Stamp,
    is_remote,
    open_binary,
    path_of,
    stamp_of,
    storage_error,
)


def peek(path: Path, written: CsvFormat) -> tuple[pa.Schema, int | None]:
    """Read a file's columns, and its number of rows if the file states it.

    Raises:
        InputError: the file is broken, or has no columns.
    """
    kind = kind_of_name(path.name)
    if kind == "csv":
        return peek_csv(path, written)
    if kind == "jsonl":
        return peek_jsonl(path)
    return _peek_footer(path, peek_arrow if kind == "arrow" else _peek_parquet)


def _peek_footer(path: Path, peek: Callable[[Path], tuple[pa.Schema, int | None]]) -> Any:
    try:
        schema, rows = peek(path)
        assert schema.names is not None, "names that are no UTF-8 raise an error here"
        return schema, rows
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise input_error(
            path,
            "a whole Parquet file" if peek is _peek_parquet else "a whole Arrow or Feather file",
            f"a file that is cut off, or something else ({first_line(error)})",
            "write or copy it again",
        ) from error


def _peek_parquet(path: Path) -> tuple[pa.Schema, int | None]:
    with open_binary(path) as stream, pq.ParquetFile(stream) as file:
        return file.schema_arrow, file.metadata.num_rows


def read_rows(
    source: Source, texts: Sequence[str], others: Sequence[str], skip: int = 0
) -> Iterator[RawRows]:
    """Stream some columns of a file, with the reason why a row could not be read.

    Args:
        source: the file.
        texts: columns that must hold text.
        others: columns that may hold anything (in JSONL, lists and objects come as JSON).
        skip: row groups to leave unread (Parquet).
    """
    in_file = [name for name in source.schema.names if name not in source.partition]
    texts_in_file = [name for name in texts if name in in_file]
    others_in_file = [name for name in others if name in in_file]
    if not texts_in_file and not others_in_file:
        others_in_file = in_file[:1]  # or nobody knows how many rows there are
    if source.kind == "parquet":
        rows = _read_parquet(source, texts_in_file, others_in_file, skip)
    else:
        assert not skip, "only Parquet has row groups"
        read = {"csv": read_csv, "jsonl": read_jsonl, "arrow": read_arrow}[source.kind]
        rows = read(source, texts_in_file, others_in_file)
    wanted = list(dict.fromkeys([*texts, *others]))
    for table, faults in rows:
        if table.schema.names == wanted:
            yield table, faults
            continue
        arrays = [
            table.column(name) if name in table.schema.names else _repeated(source, name, table)
            for name in wanted
        ]
        yield pa.RecordBatch.from_arrays(arrays, wanted), faults


def _repeated(source: Source, name: str, table: pa.RecordBatch) -> pa.Array:
    return pa.repeat(pa.scalar(source.partition[name], pa.string()), len(table))


def check_decoding(source: Source, columns: Sequence[str]) -> None:
    """Decode columns of a file where that does no harm, once, before they are decoded here.

    Lines of text are bounded where they are read; what Arrow decodes is not.

    Raises:
        InputError: it is damaged, or takes more memory or time than a file may.
        ReadingFailed: it could not be read this time.
    """
    if source.kind in ("parquet", "arrow") and not is_limited():
        columns = [name for name in dict.fromkeys(columns) if name not in source.partition]
        place = str(source.path) if is_remote(source.path) else os.path.abspath(source.path)
        _check_decoding(place, str(source.path), source.stamp, tuple(columns))


@functools.lru_cache(10_000)
def _check_decoding(place: str, name: str, stamp: Stamp, columns: tuple[str, ...]) -> None:
    path = path_of(place)
    request = {"path": place, "columns": columns, "most_bytes": most_unpacked(path)}
    call_limited(
        f"{__name__}:decode_whole",
        request,
        name=name,
        size=int(stamp[0]),
        remote=is_remote(path),
    )


def decode_whole(path: str, columns: list[str], most_bytes: int, observer: Observer) -> None:
    """Decode columns of a Parquet, Feather or Arrow file, and keep nothing.

    Args:
        columns: none: the first.
        most_bytes: that may come of it.

    Raises:
        InputError: it is damaged, or holds more.
        PetError: it cannot be read.
    """
    source = open_source(path_of(path), "")
    room = most_bytes
    with _steady(source):
        for table, _ in read_rows(source, (), columns):
            for column in table.columns:
                _validate(column)
            room -= table.nbytes + ROW_BYTES * len(table)
            if room < 0:
                fix = "look at what is in it, and write it as CSV or JSON Lines"
                raise unpacks_to_too_much(source.path, most_bytes, fix)


def _validate(column: pa.Array) -> None:
    """Refuse places of values that lie outside of the array; bytes may be no UTF-8."""
    if is_string(column.type):
        column = column.cast(pa.large_binary())
    column.validate(full=True)


def group_starts(path: Path) -> list[int]:
    """Return the first row of each of a Parquet file's row groups."""
    with open_binary(path) as stream:
        footer = pq.read_metadata(stream)
    sizes = (footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return list(accumulate(sizes, initial=0))[:-1]


def _read_parquet(
    source: Source, texts: Sequence[str], others: Sequence[str], skip: int
) -> Iterator[RawRows]:
    columns = list(dict.fromkeys([*texts, *others]))
    # Buffered, memory does not grow with a row group: 90 MB for one of 900 MB, instead of 950.
    with (
        _opened_parquet(source.path) as stream,
        pq.ParquetFile(
            stream, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
        ) as file,
    ):
        groups = range(skip, file.num_row_groups)
        for table in file.iter_batches(_rows_at_a_time(file), groups, columns=columns):
            arrays = [_without_dictionary(table.column(name)) for name in columns]
            yield pa.RecordBatch.from_arrays(arrays, columns), np.full(len(table), None)


def _rows_at_a_time(file: pq.ParquetFile) -> int:
    """Return how many rows to hold, so that long texts take no more memory than short ones."""
    groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
    longest = max((own.total_byte_size / max(1, own.num_rows) for own in groups), default=0)
    return max(1, min(CHUNK_ROWS, int(CHUNK_BYTES / max(1, longest))))


def _without_dictionary(column: pa.Array) -> pa.Array:
    """Look up the values here, where an index behind the dictionary is a damaged file's."""
    is_dictionary = pa.types.is_dictionary(column.type)
    return column.dictionary_decode() if is_dictionary else column


def _opened_parquet(path: Path) -> contextlib.AbstractContextManager[Any]:
    """Leave a file on a disk to Arrow, which reads it without Python in between."""
    return open_binary(path) if is_remote(path) else contextlib.nullcontext(path)


@dataclass(frozen=True)
class Chunk:
    """Raw rows of one file, in file order.

    Attributes:
        first: the row of the file that the chunk begins with.
        table: the columns asked for, null where a row could not be read. [rows]
        faults: the reason why a row could not be read, or None. [rows]
    """

    source: Source
    first: int
    table: pa.RecordBatch
    faults: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.faults)

    def cut(self, start: int, stop: int) -> Chunk:
        """Return the rows from `start` to `stop`."""
        table = self.table.slice(start, stop - start)
        return Chunk(self.source, self.first + start, table, self.faults[start:stop])


def open_sources(path: str | Path, written: CsvFormat = UNSTATED) -> list[Source]:
    """Find the data files at `path` and read what columns they have.

    Files are sorted by relative name; names that begin with `.` or `_` are ignored.

    Raises:
        InputError: nothing is there, or a file is empty, broken or of another kind.
    """
    path = path_of(path)
    return open_files(path, find_files(path).files, written)


def open_files(path: Path, files: Sequence[Path], written: CsvFormat) -> list[Source]:
    """Read what columns the files have that were found at `path`.

    Raises:
        InputError: a file is empty, broken or of another kind.
    """
    sources, problems = [], []
    for file in files:
        name = file.relative_to(path).as_posix() if file != path else file.name
        try:
            sources.append(open_source(file, name, written))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(group_problems(problems))
    return sources


def open_source(path: Path, name: str, written: CsvFormat = UNSTATED) -> Source:
    """Read what columns a data file has; `name` is what its rows are called after.

    Raises:
        InputError: it is empty, broken or of another kind, or cannot be read.
    """
    try:
        if not is_remote(path) and (kind := special_kind(path)):
            raise input_error(path, "a plain file", kind, "write or copy a file there")
        stamp = stamp_of(path)
        if not stamp[0]:
            raise input_error(path, "a file with rows", "an empty file", "write or copy it again")
        schema, rows = peek(path, written)
    except OSError as error:
        if is_remote(path):
            raise storage_error(str(path), error) from error
        raise input_error(
            path, "a file that can be read", error.strerror or str(error), "check the permissions"
        ) from error
    partition = {key: own for key, own in partition_of(name).items() if key not in schema.names}
    for key in partition:
        schema = schema.append(pa.field(key, pa.string()))
    return Source(path, name, schema, rows, stamp, written, partition)


def with_columns(source: Source, names: Sequence[str] | None) -> Source:
    """Return a file with those of some columns that stand in it, however late.

    A key of JSON Lines may first stand far down; files of other kinds name all their columns.

    Args:
        names: the columns that are looked for; None: all there are.

    Raises:
        PetError: the file has changed or disappeared since it was opened, or is damaged.
    """
    known = source.schema.names
    if source.kind != "jsonl" or source.rows is not None:
        return source
    if names is not None and set(names) <= set(known):
        return source
    with _steady(source):
        found, rows = find_keys(source, names)
    schema = source.schema
    for name in found:
        schema = schema if name in known else schema.append(pa.field(name, pa.string()))
    return replace(source, schema=schema, rows=rows)


def read_chunks(
    source: Source, texts: Sequence[str], others: Sequence[str], start: int = 0
) -> Iterator[Chunk]:
    """Stream some columns of a file; memory does not grow with the file.

    Args:
        source: the file.
        texts: columns that must hold text.
        others: columns that may hold anything (in JSONL, lists and objects come as JSON).
        start: the first row that is wanted; row groups before it are not read.

    Raises:
        PetError: the file has changed or disappeared since it was opened, or is damaged.
    """
    with _steady(source):
        check_decoding(source, [*texts, *others])
        starts = group_starts(source.path) if start and source.kind == "parquet" else [0]
        skip = bisect.bisect_right(starts, start) - 1
        first = starts[skip]
        for table, faults in read_rows(source, texts, others, skip):
            chunk = Chunk(source, first, unescaped(table, source.schema.names), faults)
            first += len(chunk)
            if first > start:
                yield chunk.cut(max(0, start - chunk.first), len(chunk))


def read_answers(source: Source, columns: Sequence[str]) -> Iterator[Chunk]:
    """Stream columns of which nothing may get lost: in CSV, what is not UTF-8 is a fault, not null.

    Elsewhere a label or an answer may be no text, but a number or a list.
    """
    texts = columns if source.kind == "csv" else ()
    return read_chunks(source, texts, [name for name in columns if name not in texts])


def count_rows(source: Source) -> int:
    """Count a file's rows: from a Parquet footer, else in one pass over the file."""
    if source.rows is not None:
        return source.rows
    if source.kind == "csv":
        return sum(map(len, read_chunks(source, source.schema.names[:1], ())))
    with _steady(source):
        if source.kind == "arrow":
            check_decoding(source, source.schema.names[:1])
            return count_arrow(source)
        with open_unpacked(source.path) as stream:
            return sum(1 for _ in filled_lines(stream))


@contextlib.contextmanager
def _steady(source: Source) -> Iterator[None]:
    """Refuse a file that is not the one that was opened, before, during and after the block."""
    _check_unchanged(source)
    try:
        yield
    except MemoryError:  # Arrow's is one, too
        raise
    except (pa.ArrowException, csv.Error, OSError, UnicodeDecodeError) as error:
        _check_unchanged(source)
        raise _unreadable(source.path, error) from error
    _check_unchanged(source)


def _unreadable(path: Path, error: Exception) -> PetError:
    """Distinguish a damaged file, which is the input's fault, from a disk that fails."""
    if isinstance(error, OSError) and error.errno:
        return interrupted_read(path, error)
    return input_error(
        path, "a file that can be read to its end", first_line(error), "write or copy it again"
    )


def _check_unchanged(source: Source) -> None:
    try:
        changed = stamp_of(source.path) != source.stamp
    except OSError as error:
        if is_remote(source.path) and not isinstance(error, FileNotFoundError):
            raise interrupted_read(source.path, error) from error
        raise PetError(
            Problem(
                str(source.path),
                "the file that was there at the start",
                "it has disappeared",
                "bring it back, or start again without it",
            )
        ) from None
    if changed:
        raise PetError(
            Problem(
                str(source.path),
                "a file that stays as it is while it is read",
                "it has changed since the start",
                "wait until it is written, then give the same command again",
            )
        )
