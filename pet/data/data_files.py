"""Data files: which there are at a path, on a disk or on object storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pet.errors import input_error
from pet.storage.object_storage import Stamp, files_below, is_remote, kind_of

SUFFIXES = (".csv", ".jsonl", ".parquet")


def find_files(path: Path) -> list[Path]:
    """List the data files of a folder and its subfolders, or the one file that `path` is.

    Raises:
        InputError: there is no such path, or nothing in it that can be read.
    """
    kind = _kind(path)
    if kind == "directory":
        files, usable = list_files(path)
        if usable:
            return usable
        found = ", ".join(file.name for file in files[:5]) or "no file"
        fix = "check the path (names that begin with . or _ are ignored)"
        raise input_error(path, "a folder with .parquet, .csv or .jsonl files", found, fix)
    if kind is None:
        raise input_error(path, "a file or a folder", "nothing there", _nearby(path))
    if path.suffix.lower() not in SUFFIXES:
        expected = "a file that ends in .parquet, .csv or .jsonl"
        jsonl = path.suffix.lower() == ".ndjson"
        fix = "rename it to .jsonl" if jsonl else "convert it, or rename it if it is one"
        raise input_error(path, expected, path.name, fix)
    return [path]


def _kind(path: Path) -> str | None:
    """Return whether a path is that of a "file" or a "directory", or of nothing."""
    if is_remote(path):
        return kind_of(path)
    if os.path.isdir(path):
        return "directory"
    return "file" if os.path.exists(path) else None  # Path.exists raises where a name is too long


def list_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the files of a folder and its subfolders, and those among them that hold data.

    Both are sorted by relative name; names that begin with `.` or `_` are ignored.
    """
    walk = _walk_store if is_remote(folder) else _walk
    files = sorted(walk(folder), key=lambda file: file.relative_to(folder).as_posix())
    return files, [file for file in files if file.suffix.lower() in SUFFIXES]


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


CHUNK_ROWS = 8192  # rows that a reader holds at a time

RawRows = tuple[pa.RecordBatch, NDArray[np.object_]]  # columns, and what is wrong per row


class Reason(StrEnum):
    """Why a row is set aside."""

    NO_TEXT = "no text"  # null, or the key is missing; in every field, or beside empty ones
    EMPTY = "empty text"  # nothing, or nothing but whitespace, in every field
    NOT_TEXT = "not text"  # a number, a list... where text should be
    UNDECODABLE = "not valid UTF-8"  # broken bytes, or half of a surrogate pair
    NOT_JSON = "not a JSON object"
    RAGGED = "wrong number of columns"
    QUOTES = "lines held together by a wrong quote"
    NO_ID = "no id"
    NO_LABEL = "no label"
    UNLABELED = "-1 for no label"


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
