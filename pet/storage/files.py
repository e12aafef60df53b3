"""Files that are whole or absent: written, read, removed; what a disk says, as one problem."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pet.errors import InputError, PetError, Problem, outage

TEMPORARY_PREFIX = ".pet-tmp-"


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[Path]:
    """Yield a temporary name beside `target` that takes its place when the block ends well.

    Works for a file and for a folder alike. This is the one way in which this library writes.

    Raises:
        InputError: the disk is full, or the place cannot be written (read-only, or a file where a
            folder should be).
    """
    with changing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        room, descriptor = _make_room(target.parent)
    temporary = room / target.name
    try:
        yield temporary
        sweep(temporary)  # a temporary name within, which the disk did not let go
        _let_be_read(temporary, room / "usual")
        _sync(temporary)
        _put_in_place(temporary, target, room / "replaced")
    except Exception as error:
        cause = as_os_error(error)
        if cause is not None and _is_about_writing(cause, target.parent):
            raise unwritable(target, cause) from error
        raise
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(descriptor)


def _make_room(folder: Path) -> tuple[Path, int]:
    """Make a folder for a temporary name, held by a lock that ends with this process."""
    while True:
        room = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder))
        try:
            descriptor = os.open(room, os.O_RDONLY)
        except FileNotFoundError:
            continue  # swept before it was held
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = room.is_dir()
        except OSError as error:
            is_ours = error.errno != errno.EWOULDBLOCK  # without locks nobody sweeps here
        if is_ours:
            return room, descriptor
        os.close(descriptor)  # another process took it for abandoned


def _let_be_read(path: Path, sample: Path) -> None:
    """Give files the permissions that the user's other files have: some libraries keep them."""
    sample.touch()
    usual = stat.S_IMODE(sample.stat().st_mode)
    for entry in [path, *path.rglob("*")]:
        if entry.is_file() and stat.S_IMODE(entry.stat().st_mode) != usual:
            entry.chmod(usual)


def _sync(path: Path) -> None:
    """Make a file, or a folder and all that is in it, survive a power cut."""
    for entry in [path, *path.rglob("*")]:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put_in_place(new: Path, target: Path, aside: Path) -> None:
    """Rename `new` to `target`; a rename that fails leaves what was there before.

    A folder cannot be replaced in one step: the old one is moved aside first. A crash in between
    leaves no unit at all, which the next start makes again.
    """
    is_folder = target.is_dir()
    if is_folder:
        os.replace(target, aside)
    try:
        os.replace(new, target)
    except OSError:
        if is_folder:
            os.replace(aside, target)
        raise
    sync_folder(target.parent)


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

NO_PLACE = (
    errno.EACCES,
    errno.EROFS,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)

# safetensors and tokenizers raise errors of their own; the system's stands in their text only.
RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def lasting_name(path: Path) -> Path:
    """Return what a file in a unit that is being written will be called."""
    return Path(*(part for part in path.parts if not part.startswith(TEMPORARY_PREFIX)))


def as_os_error(error: Exception) -> OSError | None:
    """Return the operating system's error behind an error, if there is one."""
    if isinstance(error, OSError):
        return error
    found = None if isinstance(error, PetError) else RUST_OS_ERROR.search(str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else None


def _is_about_writing(error: OSError, folder: Path) -> bool:
    """Return whether an error is about the place written to, not about a file being read."""
    if error.errno in NO_ROOM or error.filename is None:
        return error.errno is not None
    return Path(os.fsdecode(error.filename)).is_relative_to(folder)


def unwritable(target: Path, error: OSError) -> PetError:
    """Explain in one screen why a place could not be written."""
    found = error.strerror or str(error)
    target = lasting_name(target)
    if error.errno in NO_ROOM:
        return InputError(
            Problem(
                str(target),
                "room on the disk",
                found,
                "free some space, then give the same command again: it goes on",
            )
        )
    if error.errno in NO_PLACE:
        return InputError(
            Problem(
                str(target),
                "a place that can be written",
                found,
                "choose another folder, or change its permissions",
            )
        )
    return outage(target, "a disk that can be written and read", str(error), "the disk")


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """Change what is at `path` in the block; the system's errors are raised as ours.

    Raises:
        InputError, PetError: as of `unwritable`.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def remove(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        InputError, PetError: it cannot be removed.
    """
    with changing(path):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: Path, line: str) -> None:
    """Append a line to a log, and wait until it is on the disk; all of it, or nothing.

    A kill may leave a part of a line, which `drop_torn_line` takes away.

    Raises:
        InputError, PetError: it cannot be written.
    """
    with changing(path), path.open("ab", buffering=0) as log:
        before, data = log.tell(), f"{line}\n".encode()
        try:
            if log.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(log.fileno())
        except OSError:
            log.truncate(before)
            raise
        if not before:
            sync_folder(path.parent)


def drop_torn_line(path: Path) -> None:
    """Take away what a killed process has written of a log's last line.

    Raises:
        InputError, PetError: it cannot be read or written.
    """
    with changing(path), path.open("r+b") as log:
        log.truncate(log.read().rfind(b"\n") + 1)
        os.fsync(log.fileno())


def read_json(path: Path) -> Any | None:
    """Return the JSON in `path`, or None where there is none that can be read."""
    try:
        # A named pipe would be waited for.
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None


def read_record(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; an empty one where there is none that can be read."""
    record = read_json(path)
    return record if isinstance(record, dict) else {}


def sweep(folder: Path, below: bool = True) -> int:
    """Remove what a killed process left half-written; return how many pieces there were.

    What a living process is writing stays.

    Args:
        below: in the folders of `folder` too; they must be ours.
    """
    pattern = f"**/{TEMPORARY_PREFIX}*" if below else f"{TEMPORARY_PREFIX}*"
    return sum(_remove_abandoned(path) for path in folder.glob(pattern) if path.is_dir())


def _remove_abandoned(room: Path) -> bool:
    try:
        descriptor = os.open(room, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(room, ignore_errors=True)
    except OSError:
        return False  # it is held, or the file system has no locks
    finally:
        os.close(descriptor)
    return True


def read_parquet(path: str | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file that `write_parquet` wrote, every page against its checksum.

    Raises:
        PetError: it is missing or damaged.
    """
    wanted = None if columns is None else list(columns)
    with _as_written(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        # `pq.read_table` takes three times as long for a small file; most of ours are small.
        table = file.read(wanted, use_threads=False)
        if lost := set(wanted or ()) - set(table.column_names):  # arrow would pass over them
            raise pa.ArrowInvalid(f"no column {', '.join(sorted(lost))}")
        return table


def stored_columns(path: str | Path) -> list[str]:
    """Name the columns of such a file.

    Raises:
        PetError: it is missing or damaged.
    """
    with _as_written(path):
        return pq.read_schema(path).names


def read_parquet_batches(
    path: str | Path, rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read such a file some rows at a time.

    Raises:
        PetError: it is missing or damaged.
    """
    with _as_written(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        wanted = None if columns is None else list(columns)
        yield from file.iter_batches(rows, columns=wanted)


@contextlib.contextmanager
def _as_written(path: str | Path) -> Iterator[None]:
    try:
        yield
    except MemoryError:  # Arrow's is one, too
        raise
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise PetError(
            Problem(
                str(path),
                "a file as it was written",
                str(error),
                "give the command that made it again: what is damaged is made anew",
            )
        ) from error


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
