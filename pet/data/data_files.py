"""Data files: which there are at a path, on a disk or on object storage, and of which kind."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pet.errors import input_error
from pet.storage.object_storage import Stamp, files_below, is_remote, kind_of

Kind = Literal["csv", "jsonl", "parquet", "arrow"]

# Which files are read: CSV and JSON Lines in gzip, too. Parquet and Arrow pack what is in them, and
# some programs say so in the name.
ENDINGS: dict[Kind, str] = {
    "csv": r"\.(csv|tsv)(\.gz|\.gzip)?",
    "jsonl": r"\.(jsonl|ndjson)(\.gz|\.gzip)?",
    "parquet": r"\.(parquet|parq|pq)(\.(gz|gzip|snappy|zstd|zst|brotli|lz4))?",
    "arrow": r"\.(feather|arrow|ipc)",
}

FORMER_ENDINGS = (".csv", ".jsonl", ".parquet")  # all that former versions have read

NAMED, WARNINGS = 5, 20  # files in a message, and in warnings

EXPECTED = ".parquet, .csv, .tsv, .jsonl, .feather, .arrow or .csv.gz"

# What else tables come in: an ending, the command that makes of it what is read, and its ending.
CONVERSIONS = (
    (
        r"\.(xlsx|xlsm|xls|ods)",
        'python -c "import pandas, sys; '
        'pandas.read_excel(sys.argv[1]).to_csv(sys.argv[2], index=False)" {old} {new}',
        ".csv",
    ),
    (
        r"\.orc",
        'python -c "import pandas, sys; '
        'pandas.read_orc(sys.argv[1]).to_parquet(sys.argv[2])" {old} {new}',
        ".parquet",
    ),
    (r"\.json", "jq -c '.[]' {old} > {new}", ".jsonl"),
    (r"\.zst", "zstd -d {old}", ""),
    (r"\.bz2", "bunzip2 {old}", ""),
    (r"\.xz", "unxz {old}", ""),
    (r"\.zip", "unzip {old}", ""),
    (r"\.(tar|tgz|tar\.gz)", "tar -xf {old}", ""),
)

SAVED_DATASET = {"dataset_info.json", "state.json"}  # in a folder that datasets' save_to_disk wrote

OF_SAVED_DATASET = (
    'python -c "import datasets, sys; '
    'datasets.load_from_disk(sys.argv[1]).to_parquet(sys.argv[2])" {old} {new}'
)


def kind_of_name(name: str) -> Kind | None:
    """Return of which kind a data file of this name is; None where it is not read."""
    for kind, ending in ENDINGS.items():
        if re.search(f"(?i){ending}$", name):
            return kind
    return None


def conversion(path: Path) -> str:
    """Return the line that makes what is read of what is not; empty where there is none."""
    for ending, line, new in CONVERSIONS:
        if match := re.search(f"(?i){ending}$", path.name):
            made = path.with_name(path.name[: match.start()] + new)
            return line.format(old=shlex.quote(str(path)), new=shlex.quote(str(made)))
    return ""


@dataclass(frozen=True)
class Listing:
    """What is in a folder and its subfolders, sorted by relative name.

    Attributes:
        files: the data files.
        passed_over: relative name of every other file -> the line that converts it, if there is
            one; a folder that datasets' `save_to_disk` wrote is one name.
    """

    files: list[Path]
    passed_over: dict[str, str] = field(default_factory=dict)


def passed_over_warnings(folder: str, passed_over: Mapping[str, str]) -> list[str]:
    """Name the files of a folder that are passed over, and how to convert them, where known."""
    others = [name for name, line in passed_over.items() if not line]
    convertible = [(name, line) for name, line in passed_over.items() if line]
    lines = [
        f"{folder}: {name} is not read; to convert it: {line}"
        for name, line in convertible[:WARNINGS]
    ]
    if more := convertible[WARNINGS:]:
        lines.append(f"{folder}: {len(more):,} more such files are not read")
    if others:
        some = ", ".join(others[:WARNINGS])
        more_names = f" and {len(others) - WARNINGS:,} more" if len(others) > WARNINGS else ""
        lines.append(f"{folder}: not read, since of another kind: {some}{more_names}")
    return lines


def find_files(path: Path) -> Listing:
    """List the data files of a folder and its subfolders, or the one file that `path` is.

    Raises:
        InputError: there is no such path, or nothing in it that can be read.
    """
    kind = _kind(path)
    if kind == "directory":
        found = list_files(path)
        if found.files:
            return found
        names = ", ".join([*found.passed_over][:NAMED]) or "no file"
        line = next(filter(None, found.passed_over.values()), "")
        fix = line or "check the path (names that begin with . or _ are ignored)"
        raise input_error(path, f"a folder with files that end in {EXPECTED}", names, fix)
    if kind is None:
        raise input_error(path, "a file or a folder", "nothing there", _nearby(path))
    if kind_of_name(path.name) is None:
        fix = conversion(path) or "convert it, or rename it if it is one"
        raise input_error(path, f"a file that ends in {EXPECTED}", path.name, fix)
    return Listing([path])


def _kind(path: Path) -> str | None:
    """Return whether a path is that of a "file" or a "directory", or of nothing."""
    if is_remote(path):
        return kind_of(path)
    if os.path.isdir(path):
        return "directory"
    return "file" if os.path.exists(path) else None  # Path.exists raises where a name is too long


def special_kind(path: Path) -> str:
    """Return what a path leads to that is no plain file; "" for one, wherever it lies.

    Such a thing need not have an end, or waits for somebody to write.

    Raises:
        OSError: nothing is there.
    """
    mode = os.stat(path).st_mode
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return "" if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a device")


def list_files(folder: Path) -> Listing:
    """List the files of a folder and its subfolders; names with `.` or `_` first are ignored."""
    walk = _walk_store if is_remote(folder) else _walk
    names = sorted(file.relative_to(folder).as_posix() for file in walk(folder))
    below: dict[str, set[str]] = {}
    for name in names:
        parent, _, own = name.rpartition("/")
        below.setdefault(parent, set()).add(own)
    saved = {parent for parent, own in below.items() if own >= SAVED_DATASET}
    files, passed_over = [], {}
    for name in names:
        parent = name.rpartition("/")[0]
        if parent in saved:
            place = folder / parent if parent else folder
            new = place.with_name(f"{place.name}.parquet")
            old, made = shlex.quote(str(place)), shlex.quote(str(new))
            passed_over[f"{parent}/" if parent else "."] = OF_SAVED_DATASET.format(
                old=old, new=made
            )
        elif kind_of_name(name):
            files.append(folder / name)
        elif name.rpartition("/")[2] != "dataset_dict.json":
            passed_over[name] = conversion(folder / name)
    return Listing(files, passed_over)


def _walk(folder: Path) -> Iterator[Path]:
    been: set[tuple[int, int]] = set()  # a link may lead to where the walk comes from
    for root, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in been:
            folders.clear()
            continue
        been.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        yield from (Path(root, name) for name in names if not name.startswith((".", "_")))


def _walk_store(folder: Path) -> Iterator[Path]:
    for name in files_below(str(folder)):
        if not any(part.startswith((".", "_")) for part in name.split("/")):
            yield folder / name


def _refuse_folder(error: OSError) -> None:
    found = error.strerror or str(error)
    raise input_error(
        Path(error.filename), "a folder that can be read", found, "check the permissions"
    ) from error


def _nearby(path: Path) -> str:
    if is_remote(path):
        return "check the bucket's and the file's name"
    if not os.path.isdir(path.parent):
        return f"check the path: the folder {path.parent} does not exist either"
    names = sorted(entry.name for entry in islice(path.parent.iterdir(), 200))
    listed = ", ".join(names[:8]) or "nothing"
    return f"check the path: {path.parent} holds {listed}{', ...' if len(names) > 8 else ''}"


CHUNK_ROWS, CHUNK_BYTES = 8192, 64 << 20  # that a reader holds at a time

ROW_BYTES = 64  # that a row takes by itself, without its texts

RawRows = tuple[pa.RecordBatch, NDArray[np.object_]]  # columns, and what is wrong per row


class Reason(StrEnum):
    """Why a row is set aside."""

    NO_TEXT = "no text"  # null, or the key is missing; in every field, or beside empty ones
    EMPTY = "empty text"  # nothing visible in any field
    NOT_TEXT = "not text"  # a number, a list... where text should be
    UNDECODABLE = "not valid UTF-8"  # broken bytes, or half of a surrogate pair
    TOO_LONG = "longer than 16 MB"
    NOT_JSON = "not a JSON object"
    RAGGED = "wrong number of columns"
    QUOTES = "lines held together by a wrong quote"
    ESCAPED = "a backslash before a quote, as Spark writes it"
    NO_ID = "no id"
    NO_LABEL = "no label"
    UNLABELED = "-1 for no label"


@dataclass(frozen=True)
class CsvFormat:
    """How CSV files are written; what is None is found out from the file.

    Attributes:
        delimiter: between columns; else a comma, in .tsv a tab.
        quote: around a value; empty: none. Else `"`.
        escape: before a quote that belongs to a value; empty: none. Else none: such a quote is
            doubled, and a file in which a backslash stands before quotes of many rows is refused.
        encoding: Python's name of it; else UTF-8.
        option: what users write before these names, for messages.
    """

    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    encoding: str | None = None
    option: str = "--set pool_csv."


UNSTATED = CsvFormat()


@dataclass(frozen=True)
class Source:
    """One data file as it was when it was opened.

    Attributes:
        name: path relative to the pool, with forward slashes; the file's name for a single file.
        schema: columns, those of the folders' names last; in CSV and JSONL, all are strings.
        rows: number of rows where it is known: the file says it (Parquet), or it was read.
        path: on a disk, or on object storage: see `pet.object_storage`.
        stamp: what changes when the file does: see `stamp_of`.
        csv: how it is written, if it is a CSV file.
        partition: columns that are in no row but in the folders' names: `lang=de/part-0.parquet`.
    """

    path: Path
    name: str
    schema: pa.Schema
    rows: int | None
    stamp: Stamp
    csv: CsvFormat = CsvFormat()
    partition: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        kind = kind_of_name(self.path.name)
        assert kind is not None, "only such files are opened"
        return kind


def partition_of(name: str) -> dict[str, str | None]:
    """Return the columns in a file's relative name, as Hive and Spark write them."""
    parts = [part.partition("=") for part in name.split("/")[:-1] if "=" in part[1:]]
    return {
        unquote(key): None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
        for key, _, value in parts
    }
