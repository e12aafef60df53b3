"""The run folder: units that are whole or absent, fingerprints, a lock, seeds by name."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pet
from pet.errors import InputError, LockedError, PetError, Problem

DONE = "done.json"
LOCK = ".lock"  # a hidden name: readers of a folder of Parquet files pass it over
TEMPORARY_PREFIX = ".pet-tmp-"


def derive_seed(base: int, *names: object) -> int:
    """Hash names into a seed, so that adding a member changes nothing for the others."""
    text = json.dumps([base, *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def fingerprint(**inputs: Any) -> str:
    """Hash what goes into a unit; the library's version always belongs to it."""
    text = json.dumps({**inputs, "pet": pet.__version__}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    temporary = room / target.name
    try:
        yield temporary
        for path in [temporary, *temporary.rglob("*")]:
            if path.is_file():
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
        if target.is_dir():
            # A folder cannot be replaced in one step: the old one is moved aside first. A crash
            # in between leaves no unit at all, which the next start makes again.
            os.replace(target, room / "replaced")
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        if _is_about_writing(error, target.parent):
            raise _unwritable(target, error) from error
        raise
    finally:
        shutil.rmtree(room, ignore_errors=True)


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_PLACE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT,
            errno.ELOOP, errno.ENAMETOOLONG)  # fmt: skip


def _is_about_writing(error: OSError, folder: Path) -> bool:
    """Tell trouble with the place that is written from trouble with what is read meanwhile."""
    if error.errno in NO_ROOM or error.filename is None:
        return error.errno is not None
    return Path(os.fsdecode(error.filename)).is_relative_to(folder)


def _unwritable(target: Path, error: OSError) -> PetError:
    found = error.strerror or str(error)
    if error.errno in NO_ROOM:
        return InputError(
            Problem(str(target), "room on the disk", found,
                    "free some space, then give the same command again: it goes on")
        )  # fmt: skip
    if error.errno in NO_PLACE:
        return InputError(
            Problem(str(target), "a place that can be written", found,
                    "choose another --out, or change the folder's permissions")
        )  # fmt: skip
    return PetError(f"{target}: could not be written or read: {error}")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any | None:
    """Return the JSON in `path`, or None where there is none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_record(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; an empty one where there is none."""
    found = read_json(path)
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Unit:
    """A piece of work on disk: whole, and named by what went into it."""

    path: Path
    fingerprint: str
    reused: bool
    reason: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)


def finished(folder: Path, expected: str) -> tuple[bool, str]:
    """Say whether the unit in `folder` is whole and made from `expected`; if not, why not.

    Every file is held against the digest in `done.json`, so weights that were changed after the
    fact are found.
    """
    if not folder.exists():
        return False, "not made yet"
    record = read_json(folder / DONE)
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        return False, f"no readable {DONE}"
    if record.get("fingerprint") != expected:
        return False, "its inputs or settings have changed"
    for name, digest in record["files"].items():
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            return False, f"{name} was changed or removed after it was made"
    return True, "up to date"


def make_unit(
    folder: Path, expected: str, build: Callable[[Path], Mapping[str, Any] | None]
) -> Unit:
    """Return the unit in `folder`, built by `build(temporary folder)` unless it is up to date.

    `done.json` is written last and holds the fingerprint, each file's sha256, the seconds that it
    took and whatever `build` returns.
    """
    is_finished, reason = finished(folder, expected)
    if is_finished:
        return Unit(folder, expected, True, reason, read_record(folder / DONE))
    started = time.monotonic()
    with writing(folder) as temporary:
        temporary.mkdir()
        extra = build(temporary) or {}
        files = {
            path.relative_to(temporary).as_posix(): file_digest(path)
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        record = {
            "fingerprint": expected,
            "files": files,
            "seconds": round(time.monotonic() - started, 3),
            **extra,
        }
        (temporary / DONE).write_text(json.dumps(record, indent=2, default=str) + "\n")
    return Unit(folder, expected, False, reason, record)


def sweep(folder: Path) -> int:
    """Remove what a killed process left half-written; return how many pieces there were."""
    leftovers = [path for path in folder.rglob(f"{TEMPORARY_PREFIX}*") if path.is_dir()]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)


def refuse_links(folder: Path) -> None:
    """Refuse a folder from which a link leads out: files elsewhere would be replaced or deleted.

    The folder itself may be a link.

    Raises:
        InputError: there is such a link.
    """
    real = os.path.realpath(folder)
    for root, folders, names in os.walk(real):
        for name in (*folders, *names):
            path = os.path.join(root, name)
            target = os.path.realpath(path) if os.path.islink(path) else path
            if os.path.commonpath([real, target]) != real:
                raise InputError(
                    Problem(str(folder), "a folder whose files lie in it",
                            f"{os.path.relpath(path, real)}, a link to {target}",
                            "put what it leads to in its place, or choose another --out")
                )  # fmt: skip


@contextlib.contextmanager
def locked(folder: Path, say: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Hold the run folder for this process.

    The kernel drops the lock when its holder dies, so a stale one is never waited for; the file
    only tells people who it was.

    Raises:
        LockedError: another live process holds it.
        InputError: the folder cannot be written, or a link leads out of it.
    """
    path = folder / LOCK
    refuse_links(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A link in the lock's place would have another file emptied.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        stream = os.fdopen(os.open(path, flags, 0o666), "a+", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error
    with stream:
        stream.seek(0)
        holder = stream.read().strip()
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockedError(
                f"{folder}\n  expected: a run that nobody else is working on\n"
                f"  found:    it is held by {holder or 'another process'}\n"
                "  fix:      wait for it to end, stop it, or choose another --out"
            ) from error
        if holder:
            say(f"the lock of {holder}, which is gone, is taken over")
        stream.truncate(0)
        stream.write(f"process {os.getpid()} on {socket.gethostname()}")
        stream.flush()
        try:
            yield
        finally:
            stream.truncate(0)
