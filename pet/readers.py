"""Raw rows out of one Parquet, CSV or JSONL file; a row that cannot be read costs itself alone."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate, chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.errors import InputError, Problem
from pet.object_storage import Stamp, is_remote, open_binary

LONGEST_ROW = 16 << 20  # bytes of one CSV or JSONL row; more is an unclosed quote, or no JSONL
END_MARK = "\x00end of the file\x00"  # a row of our own behind a CSV file's last
CHUNK_ROWS = 8192  # rows that a reader holds at a time
PEEKED_LINES = 20  # JSONL lines that are read to learn which columns there are

Rows = tuple[pa.RecordBatch, NDArray[np.object_]]  # columns, and what is wrong per row


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
        path: on a disk, or on object storage: see `pet.object_storage`.
        stamp: size, and time of the last change or ETag.
    """

    path: Path
    name: str
    schema: pa.Schema
    rows: int | None
    stamp: Stamp

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()


def peek(path: Path) -> tuple[pa.Schema, int | None]:
    """Read what columns a file has, and how many rows where it says so.

    Raises:
        InputError: the file is broken, or has no columns.
    """
    peeks = {".csv": _peek_csv, ".jsonl": _peek_jsonl, ".parquet": _peek_parquet}
    return peeks[path.suffix.lower()](path)


def _peek_parquet(path: Path) -> tuple[pa.Schema, int | None]:
    try:
        with open_binary(path) as stream, pq.ParquetFile(stream) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise input_error(
            path,
            "a whole Parquet file",
            f"a file that is cut off, or something else ({first_line(error)})",
            "write or copy it again",
        ) from error


# How files begin that are often called .csv or .jsonl: Excel's own, UTF-16, gzip, Parquet.
OTHER_KINDS = {
    b"PK\x03\x04": ("an Excel workbook or a zip file", "save the sheet as CSV (UTF-8)"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV (UTF-8)"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8"),
    b"\x1f\x8b": ("a gzip file", "unpack it"),
    b"PAR1": ("a Parquet file", "rename it to .parquet"),
}


def _refuse_other_kinds(path: Path) -> None:
    with open_binary(path) as stream:
        start = stream.read(4)
    for mark, (found, fix) in OTHER_KINDS.items():
        if start.startswith(mark):
            raise input_error(path, "a text file in UTF-8", found, fix)


def _peek_csv(path: Path) -> tuple[pa.Schema, int | None]:
    _refuse_other_kinds(path)
    with _open_text(path, "replace") as stream:
        header = next(_csv_rows(stream, path), None)
    if header is None:
        raise input_error(path, "a line of column names", "only empty lines", "add it")
    return pa.schema([(name, pa.string()) for name in header]), None


def _peek_jsonl(path: Path) -> tuple[pa.Schema, int | None]:
    _refuse_other_kinds(path)
    with open_binary(path) as stream:
        lines = list(islice(filled_lines(stream, path), PEEKED_LINES))
    records = [record for line in lines if isinstance(record := _parse(line), dict)]
    if not records or lines[0] == b"[":
        found = lines[0][:60].decode("utf-8", "replace") if lines else "only empty lines"
        raise input_error(
            path, "one JSON object per line", found, "write it with one row per line, as JSON Lines"
        )
    names = dict.fromkeys(name for record in records for name in record if is_unicode(name))
    return pa.schema([(name, pa.string()) for name in names]), None


def read_rows(
    source: Source, texts: Sequence[str], others: Sequence[str], skip: int = 0
) -> Iterator[Rows]:
    """Stream some columns of a file, with the reason why a row could not be read.

    Args:
        source: the file.
        texts: columns that must hold text.
        others: columns that may hold anything (in JSONL, lists and objects come as JSON).
        skip: row groups to leave unread (Parquet).
    """
    if source.suffix == ".parquet":
        return _read_parquet(source, texts, others, skip)
    assert not skip, "only Parquet has row groups"
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl}
    return readers[source.suffix](source, texts, others)


def group_starts(path: Path) -> list[int]:
    """Return the first row of each of a Parquet file's row groups."""
    with open_binary(path) as stream:
        footer = pq.read_metadata(stream)
    sizes = (footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return list(accumulate(sizes, initial=0))[:-1]


def _read_parquet(
    source: Source, texts: Sequence[str], others: Sequence[str], skip: int
) -> Iterator[Rows]:
    columns = list(dict.fromkeys([*texts, *others]))
    # Buffered, memory does not grow with a row group: 90 MB for one of 900 MB, instead of 950.
    with (
        _opened_parquet(source.path) as stream,
        pq.ParquetFile(
            stream, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
        ) as file,
    ):
        groups = range(skip, file.num_row_groups)
        for table in file.iter_batches(CHUNK_ROWS, groups, columns=columns):
            yield table.select(columns), np.full(len(table), None)


def _opened_parquet(path: Path) -> contextlib.AbstractContextManager[Any]:
    """Leave a file on a disk to Arrow, which reads it without Python in between."""
    return open_binary(path) if is_remote(path) else contextlib.nullcontext(path)


def _open_text(path: Path, errors: str) -> TextIO:
    return io.TextIOWrapper(open_binary(path), "utf-8-sig", errors, newline="")


def _read_csv(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[Rows]:
    columns = list(dict.fromkeys([*texts, *others]))
    width = len(source.schema)
    places = [source.schema.names.index(name) for name in columns]
    with _open_text(source.path, "surrogateescape") as stream:
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
    raise input_error(path, "rows with closed quotes", found, "close the quote, or double it")


def _read_jsonl(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[Rows]:
    columns = list(dict.fromkeys([*texts, *others]))
    with open_binary(source.path) as stream:
        lines = filled_lines(stream, source.path)
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
    """Collect one column; what is no string is written as one, a fault where it should be text."""
    values: list[str | None] = []
    for row, record in enumerate(records):
        value = None if isinstance(record, Reason) else record.get(name)
        if value is not None and not isinstance(value, str):
            value = _written(value)
            faults[row] = Reason.NOT_TEXT if is_text else faults[row]
        values.append(value)
    return values


def _written(value: Any) -> str | None:
    """Write a JSON value as the same one in Parquet reads as a label: True, and 1 for 1.0."""
    if isinstance(value, float):
        if value != value:
            return None
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, int) else json.dumps(value)  # a bool is an int, too


def _as_batch(
    columns: Sequence[str],
    values: Sequence[list[str | None]],
    texts: Sequence[str],
    faults: list[Reason | None],
) -> Rows:
    """Make a batch; what is not valid Unicode is null, and a fault where it should be text."""
    arrays = []
    for name, column in zip(columns, values, strict=True):
        try:
            arrays.append(pa.array(column, pa.large_string()))
        except UnicodeEncodeError:
            valid = [value if value is None or is_unicode(value) else None for value in column]
            for row, value in enumerate(column):
                if name in texts and value is not None and valid[row] is None:
                    faults[row] = Reason.UNDECODABLE
            arrays.append(pa.array(valid, pa.large_string()))
    return pa.RecordBatch.from_arrays(arrays, list(columns)), np.array(faults, object)


def is_unicode(text: str) -> bool:
    """Tell whether no half of a surrogate pair is there: from JSON's \\u, or for a broken byte."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def filled_lines(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the lines that are not blank, without a byte order mark."""
    mark = b"\xef\xbb\xbf"
    while line := stream.readline(LONGEST_ROW + 1):
        if len(line) > LONGEST_ROW:
            found = f"a line of more than {LONGEST_ROW:,} bytes"
            raise input_error(path, "one JSON object per line", found, "write it as JSON Lines")
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


def input_error(path: Path, expected: str, found: str, fix: str) -> InputError:
    """Make an error of one problem with a file."""
    return InputError(Problem(str(path), expected, found, fix))


def first_line(error: Exception) -> str:
    """Cut a message down to its first line; without a message, name the error."""
    return (str(error).splitlines() or [type(error).__name__])[0]
