"""Raw rows out of one CSV or JSON Lines file; a row that cannot be read costs itself alone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pyarrow as pa

from pet.data.data_files import CHUNK_ROWS, RawRows, Reason, Source
from pet.errors import InputError, input_error
from pet.storage.object_storage import open_binary

LONGEST_ROW = 16 << 20  # bytes of one CSV or JSONL row; more is an unclosed quote, or no JSONL

LINES_HELD = 100  # that one wrong quote of a CSV file may cost; more is a file to be mended

LINES_LIKE_ROWS = 8  # between two quotes that show that these quotes belong to different rows

PEEKED_LINES = 20  # JSONL lines that are read to learn which columns there are

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


def peek_csv(path: Path) -> tuple[pa.Schema, int | None]:
    _refuse_other_kinds(path)
    with _open_text(path, "replace") as stream:
        header = next(_csv_rows(stream, path), None)
    if header is None:
        raise input_error(path, "a line of column names", "only empty lines", "add it")
    assert not isinstance(header, Reason), "such a line of column names is refused"
    return pa.schema([(name, pa.string()) for name in header]), None


def peek_jsonl(path: Path) -> tuple[pa.Schema, int | None]:
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


def _open_text(path: Path, errors: str) -> TextIO:
    return io.TextIOWrapper(open_binary(path), "utf-8-sig", errors, newline="")


def read_csv(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[RawRows]:
    columns = list(dict.fromkeys([*texts, *others]))
    places = [source.schema.names.index(name) for name in columns]
    with _open_text(source.path, "surrogateescape") as stream:
        rows = _csv_rows(stream, source.path)
        next(rows)  # the header
        while batch := list(islice(rows, CHUNK_ROWS)):
            faults = [row if isinstance(row, Reason) else None for row in batch]
            values: list[list[str | None]] = [
                [None if isinstance(row, Reason) else row[place] for row in batch]
                for place in places
            ]
            yield _as_batch(columns, values, texts, faults)


def _csv_rows(stream: TextIO, path: Path) -> Iterator[list[str] | Reason]:
    """Yield the rows that are not blank, column names first; a reason where one cannot be read.

    A quote that is not closed in its row is closed by a later row's first one. What stands behind
    that, or between the two, shows it: the rows that were held together cannot be read, and too
    many of them are a file that cannot.

    Raises:
        InputError: a quote is never closed, a row is too long, or column names cannot be read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
    held: list[str] = []  # lines of the row that is being read
    length = number = width = 0
    at_end = False

    def lines() -> Iterator[str]:
        nonlocal length, at_end
        for line in iter(lambda: stream.readline(LONGEST_ROW + 1), ""):
            length += len(line)
            if length > LONGEST_ROW:
                break
            held.append(line)
            yield line
        at_end = True

    def refused(found: str) -> InputError:
        place = f"row {number - 1}" if number else "the line of column names"
        fix = "close the quote, or double it"
        return input_error(path, "rows with closed quotes", found.format(place), fix)

    rows = csv.reader(lines(), strict=True)
    while True:
        row: list[str] | Reason | None
        never_closed = False
        try:
            row = next(rows, None)
        except csv.Error:
            row = []
            if len(held) == 1:  # a quote within a line, as in `5" pipe, "or so"`, is read as it is
                row = next(csv.reader(chain([held[0]], lines())))
            never_closed = at_end
            if len(held) > 1:  # there is no telling which quote closes which
                row = Reason.QUOTES
        if number and isinstance(row, list) and row:
            row = _fault(row, held, width) or row
        if length > LONGEST_ROW:
            raise refused(f"more than {LONGEST_ROW:,} characters in {{}}")
        if never_closed:
            raise refused("a quote that is opened in {} and never closed")
        if row is Reason.QUOTES and len(held) > LINES_HELD:
            raise refused(f"{len(held):,} lines held together by a quote in {{}}")
        if row is Reason.QUOTES and not number:
            raise refused("a quote that is opened in {} and closed in a later line")
        if row is None:
            return
        width = width or len(row)
        lost = 1 + _rows_in(held[:-1], width) if row is Reason.QUOTES else 1
        if row:
            yield from [row] * lost
            number += lost
        held.clear()
        length = 0


def _fault(row: list[str], held: Sequence[str], width: int) -> Reason | None:
    """Return what is wrong with a row that could be read, from the lines that it was read from."""
    between = held[1:-1]
    if len(row) != width:
        return Reason.QUOTES if _rows_in(between, width) else Reason.RAGGED
    # One text may have some lines with as many commas as a row: a list of places and countries.
    few = LINES_LIKE_ROWS if width == 2 else LINES_LIKE_ROWS // 2
    held_together = width > 1 and len(between) >= few and _rows_in(between, width) == len(between)
    return Reason.QUOTES if held_together else None


def _rows_in(lines: Sequence[str], width: int) -> int:
    """Count the lines that are rows by themselves."""
    return sum(len(next(csv.reader([line]), ())) == width for line in lines)


def read_jsonl(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[RawRows]:
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
        value = None if value != value else value  # NaN, as pandas writes a gap
        if value is not None and not isinstance(value, str):
            value = _written(value)
            faults[row] = Reason.NOT_TEXT if is_text else faults[row]
        values.append(value)
    return values


def _written(value: Any) -> str:
    """Write a JSON value as the same one in Parquet reads as a label: True, and 1 for 1.0."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, int) else json.dumps(value)  # a bool is an int, too


def _as_batch(
    columns: Sequence[str],
    values: Sequence[list[str | None]],
    texts: Sequence[str],
    faults: list[Reason | None],
) -> RawRows:
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
    """Return whether there is no half of a surrogate pair: from JSON's \\u, or a broken byte."""
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
