"""Data files as one stream of raw rows; Parquet files out, whole or absent."""

from __future__ import annotations

import bisect
import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pet.errors import InputError, PetError, Problem
from pet.object_storage import (
    files_below,
    is_remote,
    key_of,
    kind_of,
    open_binary,
    path_of,
    stamp_of,
    trouble,
)
from pet.progress import SILENT, Observer
from pet.readers import (
    Source,
    filled_lines,
    first_line,
    group_starts,
    input_error,
    peek,
    read_rows,
)
from pet.runs import BLOCK, file_digest, writing

SUFFIXES = (".csv", ".jsonl", ".parquet")


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
        raise input_error(path, expected, path.name, "convert it, or rename it")
    return [path]


def _kind(path: Path) -> str | None:
    """Say whether a path is that of a "file" or a "directory", or of nothing."""
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
        return _unsteady(path, error)
    return input_error(
        path, "a file that can be read to its end", first_line(error), "write or copy it again"
    )


def _unsteady(path: Path | str, error: OSError) -> PetError:
    return PetError(
        f"{path}\n  expected: a file that can be read to its end\n  found:    {error.strerror}\n"
        "  fix:      look after the file, then give the same command again: it goes on"
    )


def _check_unchanged(source: Source) -> None:
    try:
        changed = stamp_of(source.path) != source.stamp
    except OSError as error:
        if is_remote(source.path) and not isinstance(error, FileNotFoundError):
            raise _unsteady(source.path, error) from error
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


def content_digest(paths: Iterable[str | Path], observer: Observer = SILENT) -> str:
    """Name files by their content and their names relative to the folder that holds them all.

    Raises:
        PetError: a file has disappeared or cannot be read.
    """
    return combined_digest(file_digests(paths, observer))


def combined_digest(files: Mapping[str, str]) -> str:
    """Name files by one digest of all their names and contents, as `file_digests` lists them."""
    total = hashlib.sha256()
    for name, digest in files.items():
        total.update(json.dumps([name, digest]).encode())
    return total.hexdigest()


def file_digests(paths: Iterable[str | Path], observer: Observer = SILENT) -> dict[str, str]:
    """Return each file's sha256 by its name relative to the folder that holds them all, in order.

    Raises:
        PetError: a file has disappeared or cannot be read.
    """
    files = {_whole_name(path): path for path in map(path_of, paths)}
    base = os.path.commonpath([os.path.dirname(name) for name in files]) if files else ""
    found = {}
    file = Path(base)
    try:
        blocks = sum(-(-stamp_of(file)[0] // BLOCK) for file in files.values())
        with observer.stage("taking the pool's fingerprint", blocks, "MB") as tick:
            for name, file in sorted(files.items(), key=lambda item: Path(item[0])):
                found[Path(name).relative_to(base).as_posix()] = file_digest(file, tick)
    except OSError as error:
        raise _unsteady(error.filename or file, error) from error
    return found


def _whole_name(path: Path) -> str:
    return key_of(str(path)) if is_remote(path) else str(path.absolute())


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
