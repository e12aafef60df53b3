"""Data files as one stream of raw rows; Parquet files out, whole or absent."""

from __future__ import annotations

import bisect
import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.data_files import find_files
from pet.errors import InputError, PetError, first_line, group_problems, input_error, unsteady
from pet.object_storage import (
    is_remote,
    open_binary,
    path_of,
    stamp_of,
    trouble,
)
from pet.readers import group_starts, peek, read_rows
from pet.runs import writing
from pet.sources import Source
from pet.text_readers import filled_lines


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


def open_sources(path: str | Path) -> list[Source]:
    """Find the data files at `path` and read what columns they have.

    Files are sorted by relative name; names that begin with `.` or `_` are ignored.

    Raises:
        InputError: nothing is there, or a file is empty, broken or of another kind.
    """
    path = path_of(path)
    sources, problems = [], []
    for file in find_files(path):
        name = file.relative_to(path).as_posix() if file != path else file.name
        try:
            sources.append(open_source(file, name))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(group_problems(problems))
    return sources


def open_source(path: Path, name: str) -> Source:
    """Read what columns a data file has; `name` is what its rows are called after.

    Raises:
        InputError: it is empty, broken or of another kind, or cannot be read.
    """
    try:
        stamp = stamp_of(path)
        if not stamp[0]:
            raise input_error(path, "a file with rows", "an empty file", "write or copy it again")
        schema, rows = peek(path)
    except OSError as error:
        if is_remote(path):
            raise trouble(str(path), error) from error
        raise input_error(
            path, "a file that can be read", error.strerror or str(error), "check the permissions"
        ) from error
    return Source(path, name, schema, rows, stamp)


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
        starts = group_starts(source.path) if start and source.suffix == ".parquet" else [0]
        skip = bisect.bisect_right(starts, start) - 1
        first = starts[skip]
        for table, faults in read_rows(source, texts, others, skip):
            chunk = Chunk(source, first, table, faults)
            first += len(chunk)
            if first > start:
                yield chunk.cut(max(0, start - chunk.first), len(chunk))


def read_answers(source: Source, columns: Sequence[str]) -> Iterator[Chunk]:
    """Stream columns of which nothing may get lost: in CSV, what is not UTF-8 is a fault, not null.

    Elsewhere a label or an answer may be no text, but a number or a list.
    """
    texts = columns if source.suffix == ".csv" else ()
    return read_chunks(source, texts, [name for name in columns if name not in texts])


def count_rows(source: Source) -> int:
    """Count a file's rows: from a Parquet footer, else in one pass over the file."""
    if source.rows is not None:
        return source.rows
    if source.suffix == ".csv":
        return sum(map(len, read_chunks(source, source.schema.names[:1], ())))
    with _steady(source), open_binary(source.path) as stream:
        return sum(1 for _ in filled_lines(stream, source.path))


@contextlib.contextmanager
def _steady(source: Source) -> Iterator[None]:
    """Refuse a file that is not the one that was opened, before, during and after the block."""
    _check_unchanged(source)
    try:
        yield
    except (pa.ArrowException, csv.Error, OSError) as error:
        _check_unchanged(source)
        raise _unreadable(source.path, error) from error
    _check_unchanged(source)


def _unreadable(path: Path, error: Exception) -> PetError:
    """Tell a damaged file, which is the input's fault, from a disk that fails."""
    if isinstance(error, OSError) and error.errno:
        return unsteady(path, error)
    return input_error(
        path, "a file that can be read to its end", first_line(error), "write or copy it again"
    )


def _check_unchanged(source: Source) -> None:
    try:
        changed = stamp_of(source.path) != source.stamp
    except OSError as error:
        if is_remote(source.path) and not isinstance(error, FileNotFoundError):
            raise unsteady(source.path, error) from error
        raise PetError(
            f"{source.path}\n  expected: the file that was there at the start\n"
            "  found:    it has disappeared\n  fix:      bring it back, or start again without it"
        ) from None
    if changed:
        raise PetError(
            f"{source.path}\n  expected: a file that stays as it is while it is read\n"
            "  found:    it has changed since the start\n"
            "  fix:      wait until it is written, then give the same command again"
        )


def write_parquet(path: str | Path, table: pa.Table, metadata: Mapping[str, str]) -> None:
    """Write a table in one step, with `metadata` in the file; the same input gives the same bytes.

    Raises:
        PetError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    stored = {
        **(table.schema.metadata or {}),
        **{k.encode(): v.encode() for k, v in metadata.items()},
    }
    table = table.replace_schema_metadata(dict(sorted(stored.items())) or None)
    with writing(Path(path)) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
