"""Parquet, CSV and JSONL files as one stream of raw rows; Parquet files out, whole or absent."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.errors import InputError, PetError, Problem
from pet.runs import file_digest, writing

SUFFIXES = (".csv", ".jsonl", ".parquet")
LONGEST_ROW = 16 << 20  # bytes of one CSV or JSONL row; more is an unclosed quote, or no JSONL
END_MARK = "\x00end of the file\x00"  # a row of our own behind a CSV file's last
CHUNK_ROWS = 8192  # rows that a reader holds at a time
PEEKED_LINES = 20  # JSONL lines that are read to learn which columns there are

_Rows = tuple[pa.RecordBatch, NDArray[np.object_]]  # what a reader yields: Chunk.table and .faults


class Reason(StrEnum):
    """Why a row is set aside."""

    NO_TEXT = "no text"  # null, or the key is missing
    EMPTY = "empty text"  # nothing, or nothing but whitespace, in every field
    NOT_TEXT = "not text"  # a number, a list... where text should be
    UNDECODABLE = "not valid UTF-8"  # broken bytes, or half of a surrogate pair
    NOT_JSON = "not a JSON object"
    RAGGED = "wrong number of columns"
    NO_ID = "no id"
    NO_LABEL = "no label"


@dataclass(frozen=True)
class Source:
    """One data file as it was when it was opened.

    Attributes:
        name: path relative to the pool, with forward slashes; the file's name for a single file.
        schema: columns; in CSV and JSONL, all are strings.
        rows: number of rows where the file says it (Parquet).
        stamp: size and time of the last change.
    """

    path: Path
    name: str
    schema: pa.Schema
    rows: int | None
    stamp: tuple[int, int]

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()


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
    path = Path(path)
    sources, problems = [], []
    for file in find_files(path):
        name = file.relative_to(path).as_posix() if file != path else file.name
        try:
            sources.append(_open(file, name))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(group_problems(problems))
    return sources


def find_files(path: Path) -> list[Path]:
    """List the data files of a folder and its subfolders, or the one file that `path` is.

    Raises:
        InputError: there is no such path, or nothing in it that can be read.
    """
    if path.is_dir():
        files = sorted(_walk(path), key=lambda file: file.relative_to(path).as_posix())
        usable = [file for file in files if file.suffix.lower() in SUFFIXES]
        if usable:
            return usable
        found = ", ".join(file.name for file in files[:5]) or "no file"
        fix = "check the path (names that begin with . or _ are ignored)"
        raise _input_error(path, "a folder with .parquet, .csv or .jsonl files", found, fix)
    if not path.exists():
        raise _input_error(path, "a file or a folder", "nothing there", _nearby(path))
    if path.suffix.lower() not in SUFFIXES:
        expected = "a file that ends in .parquet, .csv or .jsonl"
        raise _input_error(path, expected, path.name, "convert it, or rename it")
    return [path]


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        yield from (Path(root, name) for name in names if not name.startswith((".", "_")))


def _refuse_folder(error: OSError) -> None:
    found = error.strerror or str(error)
    raise _input_error(
        Path(error.filename), "a folder that can be read", found, "check the permissions"
    ) from error


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f"check the path: the folder {path.parent} does not exist either"
    names = sorted(entry.name for entry in islice(path.parent.iterdir(), 200))
    listed = ", ".join(names[:8]) or "nothing"
    return f"check the path: {path.parent} holds {listed}{', ...' if len(names) > 8 else ''}"


def _input_error(path: Path, expected: str, found: str, fix: str) -> InputError:
    return InputError(Problem(str(path), expected, found, fix))


def group_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Make one problem of those that differ only in the file."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for problem in problems:
        key = (problem.expected, problem.found, problem.fix)
        groups.setdefault(key, []).append(problem.where)
    grouped = []
    for (expected, found, fix), places in groups.items():
        more = f" and {len(places) - 3:,} more files" if len(places) > 3 else ""
        grouped.append(Problem(", ".join(places[:3]) + more, expected, found, fix))
    return grouped


def _open(path: Path, name: str) -> Source:
    peek = {".csv": _peek_csv, ".jsonl": _peek_jsonl, ".parquet": _peek_parquet}
    try:
        stamp = _stamp(path)
        if not stamp[0]:
            raise _input_error(path, "a file with rows", "an empty file", "write or copy it again")
        schema, rows = peek[path.suffix.lower()](path)
    except OSError as error:
        raise _input_error(
            path, "a file that can be read", error.strerror or str(error), "check the permissions"
        ) from error
    return Source(path, name, schema, rows, stamp)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _peek_parquet(path: Path) -> tuple[pa.Schema, int | None]:
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise _input_error(
            path,
            "a whole Parquet file",
            f"a file that is cut off, or something else ({_first_line(error)})",
            "write or copy it again",
        ) from error


def _peek_csv(path: Path) -> tuple[pa.Schema, int | None]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        header = next(_csv_rows(stream, path), None)
    if header is None:
        raise _input_error(path, "a line of column names", "only empty lines", "add it")
    return pa.schema([(name, pa.string()) for name in header]), None


def _peek_jsonl(path: Path) -> tuple[pa.Schema, int | None]:
    with path.open("rb") as stream:
        lines = list(islice(_lines(stream, path), PEEKED_LINES))
    records = [record for line in lines if isinstance(record := _parse(line), dict)]
    if not records:
        found = lines[0][:60].decode("utf-8", "replace") if lines else "only empty lines"
        raise _input_error(
            path, "one JSON object per line", found, "write it with one row per line, as JSON Lines"
        )
    names = dict.fromkeys(name for record in records for name in record)
    return pa.schema([(name, pa.string()) for name in names]), None


def read_chunks(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[Chunk]:
    """Stream some columns of a file; memory does not grow with the file.

    Args:
        source: the file.
        texts: columns that must hold text.
        others: columns that may hold anything (in JSONL, what is not text comes as JSON).

    Raises:
        PetError: the file has changed or disappeared since it was opened, or is damaged.
    """
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    first = 0
    with _steady(source):
        for table, faults in readers[source.suffix](source, texts, others):
            yield Chunk(source, first, table, faults)
            first += len(faults)


def count_rows(source: Source) -> int:
    """Count a file's rows: from a Parquet footer, else in one pass over the file."""
    if source.rows is not None:
        return source.rows
    if source.suffix == ".csv":
        return sum(map(len, read_chunks(source, source.schema.names[:1], ())))
    with _steady(source), source.path.open("rb") as stream:
        return sum(1 for _ in _lines(stream, source.path))


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
        return PetError(f"{path}: could not be read: {error.strerror}")
    return _input_error(
        path, "a file that can be read to its end", _first_line(error), "write or copy it again"
    )


def _check_unchanged(source: Source) -> None:
    try:
        changed = _stamp(source.path) != source.stamp
    except OSError:
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _read_parquet(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[_Rows]:
    columns = list(dict.fromkeys([*texts, *others]))
    # Buffered, memory does not grow with a row group: 90 MB for one of 900 MB, instead of 950.
    with pq.ParquetFile(
        source.path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
    ) as file:
        for table in file.iter_batches(CHUNK_ROWS, columns=columns):
            yield table.select(columns), np.full(len(table), None)


def _read_csv(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[_Rows]:
    columns = list(dict.fromkeys([*texts, *others]))
    width = len(source.schema)
    places = [source.schema.names.index(name) for name in columns]
    with source.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        rows = _csv_rows(stream, source.path)
        next(rows)  # the header
        while batch := list(islice(rows, CHUNK_ROWS)):
            faults = [None if len(row) == width else Reason.RAGGED for row in batch]
            values: list[list[str | None]] = [
                [row[place] if len(row) == width else None for row in batch] for place in places
            ]
            yield _as_batch(columns, values, texts, faults)


def _csv_rows(stream: TextIO, path: Path) -> Iterator[list[str]]:
    """Yield the rows that are not blank.

    A quote that is never closed makes one row of all that follows. A row of our own behind the last
    shows it: it does not come out as a row.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
    length = number = 0

    def lines() -> Iterator[str]:
        nonlocal length
        bounded = iter(lambda: stream.readline(LONGEST_ROW + 1), "")
        for line in chain(bounded, ["\n", END_MARK]):
            length += len(line)
            if length > LONGEST_ROW:
                break
            yield line

    for row in csv.reader(lines()):
        if row == [END_MARK]:
            return
        if length > LONGEST_ROW or (row and row[-1].endswith(END_MARK)):
            break
        if row:
            yield row
            number += 1
        length = 0
    place = f"row {number - 1}" if number else "the line of column names"
    found = f"a quote that is opened in {place} and never closed"
    if length > LONGEST_ROW:
        found = f"more than {LONGEST_ROW:,} characters in {place}"
    raise _input_error(path, "rows with closed quotes", found, "close the quote, or double it")


def _read_jsonl(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[_Rows]:
    columns = list(dict.fromkeys([*texts, *others]))
    with source.path.open("rb") as stream:
        lines = _lines(stream, source.path)
        while batch := list(islice(lines, CHUNK_ROWS)):
            records = [_parse(line) for line in batch]
            faults = [record if isinstance(record, Reason) else None for record in records]
            values = [_values(records, faults, name, name in texts) for name in columns]
            yield _as_batch(columns, values, texts, faults)


def _values(
    records: Sequence[dict[str, Any] | Reason],
    faults: list[Reason | None],
    name: str,
    is_text: bool,
) -> list[str | None]:
    """Collect one column; what is no string becomes JSON, and a fault where it should be text."""
    values: list[str | None] = []
    for row, record in enumerate(records):
        value = None if isinstance(record, Reason) else record.get(name)
        if value is not None and not isinstance(value, str):
            value = str(value) if type(value) is int else json.dumps(value)
            faults[row] = Reason.NOT_TEXT if is_text else faults[row]
        values.append(value)
    return values


def _as_batch(
    columns: Sequence[str],
    values: Sequence[list[str | None]],
    texts: Sequence[str],
    faults: list[Reason | None],
) -> _Rows:
    """Make a batch; what is not valid Unicode is null, and a fault where it should be text."""
    arrays = []
    for name, column in zip(columns, values, strict=True):
        try:
            arrays.append(pa.array(column, pa.large_string()))
        except UnicodeEncodeError:
            valid = [value if value is None or _is_valid(value) else None for value in column]
            for row, value in enumerate(column):
                if name in texts and value is not None and valid[row] is None:
                    faults[row] = Reason.UNDECODABLE
            arrays.append(pa.array(valid, pa.large_string()))
    return pa.RecordBatch.from_arrays(arrays, list(columns)), np.array(faults, object)


def _is_valid(text: str) -> bool:
    """Tell whether no half of a surrogate pair is there: from JSON's \\u, or for a broken byte."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lines(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the lines that are not blank, without a byte order mark."""
    mark = b"\xef\xbb\xbf"
    while line := stream.readline(LONGEST_ROW + 1):
        if len(line) > LONGEST_ROW:
            found = f"a line of more than {LONGEST_ROW:,} bytes"
            raise _input_error(path, "one JSON object per line", found, "write it as JSON Lines")
        line, mark = line.removeprefix(mark).strip(), b""
        if line:
            yield line


def _parse(line: bytes) -> dict[str, Any] | Reason:
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError:
        return Reason.UNDECODABLE
    except (ValueError, RecursionError):
        return Reason.NOT_JSON
    return record if isinstance(record, dict) else Reason.NOT_JSON


def content_digest(paths: Iterable[str | Path]) -> str:
    """Name files by their content and their names relative to the folder that holds them all.

    Raises:
        PetError: a file has disappeared or cannot be read.
    """
    files = sorted(Path(path).absolute() for path in paths)
    base = os.path.commonpath([file.parent for file in files]) if files else ""
    total = hashlib.sha256()
    for file in files:
        try:
            digest = file_digest(file)
        except OSError as error:
            raise PetError(f"{file}: could not be read: {error.strerror}") from error
        total.update(json.dumps([file.relative_to(base).as_posix(), digest]).encode())
    return total.hexdigest()


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
