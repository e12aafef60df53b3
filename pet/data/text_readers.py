"""Raw rows out of one CSV or JSON Lines file; a row that cannot be read costs itself alone."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

import numpy as np
import pyarrow as pa

from pet.data.data_files import CHUNK_BYTES, CHUNK_ROWS, CsvFormat, RawRows, Reason, Source
from pet.data.unpacking import open_unpacked
from pet.errors import InputError, input_error

T = TypeVar("T")

LONGEST_ROW = 16 << 20  # bytes of one CSV or JSONL row; more is an unclosed quote, or no text

OVERLONG = b"\0"  # stands for a JSONL line that is longer

LINES_HELD = 100  # that one wrong quote of a CSV file may cost; more is a file to be mended

RARE = 0.01  # of a file's lines with an escaped quote: fewer are mistakes, more its way of writing

LINES_LIKE_ROWS = 8  # between two quotes that show that these quotes belong to different rows

PEEKED_LINES = 20  # JSONL lines that are read to learn which columns there are

# How files begin that are often called .csv or .jsonl: Excel's own, UTF-16, gzip, Parquet.
OTHER_KINDS = {
    b"PK\x03\x04": ("an Excel workbook or a zip file", "save the sheet as CSV (UTF-8)"),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV (UTF-8)"),
    b"\x1f\x8b": ("a gzip file", "let its name end in .gz, or unpack it"),
    b"PAR1": ("a Parquet file", "rename it to .parquet"),
    b"\xff\xfe": ("UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16", "save it as UTF-8"),
}


def _refuse_other_kinds(path: Path, written: CsvFormat | None = None) -> None:
    """Refuse what is no text.

    Args:
        written: of CSV files, which may be in another encoding than UTF-8.
    """
    with open_unpacked(path) as stream:
        start = stream.read(4)
    for mark, (found, fix) in OTHER_KINDS.items():
        if not start.startswith(mark) or (found == "UTF-16" and written and written.encoding):
            continue
        if found == "UTF-16" and written:
            fix = f"{fix}, or add {written.option}encoding=utf-16"
        raise input_error(path, "a text file in UTF-8", found, fix)


def peek_csv(path: Path, written: CsvFormat) -> tuple[pa.Schema, int | None]:
    _refuse_other_kinds(path, written)
    with _open_text(path, written, "replace") as stream:
        header = next(_CsvRows(stream, path, written).rows(), None)
    if header is None:
        raise input_error(path, "a line of column names", "only empty lines", "add it")
    assert not isinstance(header, Reason), "such a line of column names is refused"
    return pa.schema([(name, pa.string()) for name in header]), None


def peek_jsonl(path: Path) -> tuple[pa.Schema, int | None]:
    _refuse_other_kinds(path)
    with open_unpacked(path) as stream:
        lines = list(islice(filled_lines(stream), PEEKED_LINES))
    records = [record for line in lines if isinstance(record := _parse(line), dict)]
    if not records or lines[0] == b"[":
        found = lines[0][:60].decode("utf-8", "replace") if lines else "only empty lines"
        if lines and lines[0] == OVERLONG:
            found = f"a line of more than {LONGEST_ROW:,} bytes"
        raise input_error(
            path, "one JSON object per line", found, "write it with one row per line, as JSON Lines"
        )
    names = dict.fromkeys(name for record in records for name in record if is_unicode(name))
    schema = pa.schema([(name, pa.string()) for name in names])
    return schema, len(lines) if len(lines) < PEEKED_LINES else None


def find_keys(source: Source, names: Sequence[str] | None) -> tuple[list[str], int]:
    """Look a JSON Lines file through for keys that do not stand in its first lines.

    Args:
        names: the keys that are looked for; None: all there are.

    Returns:
        (those that are there, rows of the file)
    """
    # Only lines that may have one of the keys are parsed: this takes little more than counting.
    written = [json.dumps(n, ensure_ascii=plain) for n in names or () for plain in (True, False)]
    marks = [mark.encode() for mark in dict.fromkeys(written)]
    found: dict[str, None] = {}
    rows = 0
    with open_unpacked(source.path) as stream:
        for line in filled_lines(stream):
            rows += 1
            if names is None or any(mark in line for mark in marks):
                record = _parse(line)
                found |= dict.fromkeys(() if isinstance(record, Reason) else record)
    known = found if names is None else [name for name in names if name in found]
    return [name for name in known if is_unicode(name)], rows


def _open_text(path: Path, written: CsvFormat, errors: str) -> TextIO:
    encoding = written.encoding or "utf-8"
    # A byte order mark is no part of the first column's name.
    encoding = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    return io.TextIOWrapper(open_unpacked(path), encoding, errors, newline="")


def read_csv(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[RawRows]:
    columns = list(dict.fromkeys([*texts, *others]))
    places = [source.schema.names.index(name) for name in columns]
    with _open_text(source.path, source.csv, "surrogateescape") as stream:
        rows = _CsvRows(stream, source.path, source.csv).rows()
        next(rows)  # the header
        while batch := _take_rows(rows, lambda row: sum(map(len, row))):
            faults = [row if isinstance(row, Reason) else None for row in batch]
            values: list[list[str | None]] = [
                [None if isinstance(row, Reason) else row[place] for row in batch]
                for place in places
            ]
            yield _as_batch(columns, values, texts, faults)


def _take_rows(rows: Iterator[T], size_of: Callable[[T], int]) -> list[T]:
    """Take as many rows as are held at a time; none at the end."""
    taken: list[T] = []
    room = CHUNK_BYTES
    for row in islice(rows, CHUNK_ROWS):
        taken.append(row)
        room -= size_of(row)
        if room < 0:
            break
    return taken


class _CsvRows:
    """The rows of a CSV file that are not blank, the line of column names first.

    A quote that is not closed in its row is closed by a later row's first one. What stands behind
    that, or between the two, shows it: the rows that were held together cannot be read, and too
    many of them are a file that cannot.
    """

    def __init__(self, stream: TextIO, path: Path, written: CsvFormat):
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
        self._stream, self._path, self._written = stream, path, written
        self._quote = '"' if written.quote is None else written.quote
        self._escape = "" if written.escape == self._quote else written.escape  # doubled
        tabs = re.search(r"(?i)\.tsv(\.gz|\.gzip)?$", path.name)
        self._format: dict[str, Any] = {
            "delimiter": written.delimiter or ("\t" if tabs else ","),
            "quotechar": self._quote or None,
            "quoting": csv.QUOTE_MINIMAL if self._quote else csv.QUOTE_NONE,
            "escapechar": self._escape or None,
        }
        self._held: list[str] = []  # lines of the row that is being read
        self._length = self._number = self._width = 0
        self._at_end = self._too_long = False
        self._with_mark: float | None = None  # share of lines

    def rows(self) -> Iterator[list[str] | Reason]:
        """Yield the rows; a reason for each that cannot be read.

        Raises:
            InputError: a quote is never closed, or escaped in another way than is known; a row is
                too long, or column names cannot be read.
        """
        rows = csv.reader(self._lines(), strict=True, **self._format)
        while (row := self._next(rows)) is not None:
            self._width = self._width or len(row)
            held = self._held
            lost = 1 + self._rows_in(held[:-1]) if row is Reason.QUOTES else 1
            if row:
                yield from [row] * lost
                self._number += lost
            held.clear()
            self._length = 0

    def _lines(self) -> Iterator[str]:
        for line in iter(lambda: self._stream.readline(LONGEST_ROW + 1), ""):
            begins = not self._held and self._number > 0
            if begins and len(line) > LONGEST_ROW and self._ends_unquoted(line):
                line, self._too_long = "-\n", True  # the next line begins a row, beyond doubt
            self._length += len(line)
            if self._length > LONGEST_ROW:
                break
            self._held.append(line)
            yield self._with_escapes(line)
        self._at_end = True

    def _ends_unquoted(self, line: str) -> bool:
        """Read a line to its end; return whether there is no quote and no escape in it."""
        marks = set(filter(None, (self._quote, self._escape)))
        while line and not marks & set(line):
            if line.endswith(("\n", "\r")):
                return True
            line = self._stream.readline(LONGEST_ROW + 1)
        return not line

    def _with_escapes(self, line: str) -> str:
        """Escape what an escape stands before that is neither quote nor escape: it is itself."""
        escape = self._escape
        if not escape or escape not in line:
            return line
        pair = rf"{re.escape(escape)}([{re.escape(escape + self._quote)}])?"
        return re.sub(pair, lambda found: found[0] if found[1] else 2 * escape, line)

    def _next(self, rows: Iterator[list[str]]) -> list[str] | Reason | None:
        row: list[str] | Reason | None
        never_closed = False
        try:
            row = next(rows, None)
        except csv.Error:
            row = []
            if len(self._held) == 1:  # a quote within a line, as in `5" pipe, "or so"`, as it is
                first = self._with_escapes(self._held[0])
                row = next(csv.reader(chain([first], self._lines()), **self._format))
                row = self._escaped(row)
            never_closed = self._at_end
            if len(self._held) > 1:  # there is no telling which quote closes which
                row = Reason.QUOTES
        if self._too_long:
            row, self._too_long = Reason.TOO_LONG, False
        if self._number and isinstance(row, list) and row:
            row = self._fault(row) or row
        if self._length > LONGEST_ROW:
            raise self._refused(f"more than {LONGEST_ROW:,} characters in {{}}")
        if isinstance(row, Reason) and row not in (Reason.TOO_LONG, Reason.ESCAPED):
            row = self._escaped(row)
        if never_closed:
            raise self._refused("a quote that is opened in {} and never closed")
        if row is Reason.QUOTES and len(self._held) > LINES_HELD:
            raise self._refused(f"{len(self._held):,} lines held together by a quote in {{}}")
        if row is Reason.QUOTES and not self._number:
            raise self._refused("a quote that is opened in {} and closed in a later line")
        return row

    def _fault(self, row: list[str]) -> Reason | None:
        """Return what is wrong with a row that could be read, from the lines it was read from."""
        between, width = self._held[1:-1], self._width
        if len(row) != width:
            return Reason.QUOTES if self._rows_in(between) else Reason.RAGGED
        # One text may have some lines with as many commas as a row: a list of places and countries.
        few = LINES_LIKE_ROWS if width == 2 else LINES_LIKE_ROWS // 2
        if width > 1 and len(between) >= few and self._rows_in(between) == len(between):
            return Reason.QUOTES
        return None

    def _rows_in(self, lines: Iterable[str]) -> int:
        """Count the lines that are rows by themselves."""
        alone = (next(csv.reader([line], **self._format), ()) for line in lines)
        return sum(len(row) == self._width for row in alone)

    def _escaped(self, row: list[str] | Reason) -> list[str] | Reason:
        r"""Look for `\"` in a row that has a fault: read otherwise than written, texts are torn.

        Raises:
            InputError: it is how the file is written, or it is unknown where the row ends.
        """
        mark = f"\\{self._quote}"
        if self._escape is not None or not self._quote or mark not in "".join(self._held):
            return row
        if self._number and self._ends_either_way() and self._is_rare(mark):
            return Reason.ESCAPED
        option = f"{self._written.option}escape"
        raise input_error(
            self._path,
            "quotes within quotes that are doubled",
            f"a backslash before one in {self._place()}, as Spark writes it",
            rf"add {option}='\' if it is Spark's, {option}= if backslashes are themselves",
        )

    def _ends_either_way(self) -> bool:
        """Return whether a row is one line, with the escape and without: so the next begins one."""
        escaped = csv.reader(self._held, strict=True, **{**self._format, "escapechar": "\\"})
        with contextlib.suppress(csv.Error):
            return len(self._held) == 1 and next(escaped, None) is not None
        return False

    def _is_rare(self, mark: str) -> bool:
        """Return whether few lines of the file have a mark; it is looked through once."""
        if self._with_mark is None:
            counts = [0, 0]
            with _open_text(self._path, self._written, "replace") as stream:
                for line in iter(lambda: stream.readline(LONGEST_ROW), ""):
                    counts[mark in line] += 1
            self._with_mark = counts[True] / sum(counts)
        return self._with_mark <= RARE

    def _place(self) -> str:
        return f"row {self._number - 1}" if self._number else "the line of column names"

    def _refused(self, found: str) -> InputError:
        fix = "close the quote, or double it; where a quote is a character as any other, add "
        fix += f"{self._written.option}quote="
        return input_error(self._path, "rows with closed quotes", found.format(self._place()), fix)


def read_jsonl(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[RawRows]:
    columns = list(dict.fromkeys([*texts, *others]))
    with open_unpacked(source.path) as stream:
        lines = filled_lines(stream)
        while batch := _take_rows(lines, len):
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


def filled_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines that are not blank, without a byte order mark; `OVERLONG` for long ones."""
    mark = b"\xef\xbb\xbf"
    while line := stream.readline(LONGEST_ROW + 1):
        if len(line) > LONGEST_ROW:
            while line and not line.endswith(b"\n"):
                line = stream.readline(LONGEST_ROW + 1)
            line = OVERLONG
        line, mark = line.removeprefix(mark).strip(), b""
        if line:
            yield line


def _parse(line: bytes) -> dict[str, Any] | Reason:
    if line == OVERLONG:
        return Reason.TOO_LONG
    try:
        record = json.loads(line.decode())
    except UnicodeDecodeError:
        return Reason.UNDECODABLE
    except (ValueError, RecursionError):
        return Reason.NOT_JSON
    return record if isinstance(record, dict) else Reason.NOT_JSON
