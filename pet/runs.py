"""The run folder: files and units that are whole or absent, fingerprints, seeds by name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pet
from pet.errors import InputError, PetError, Problem
from pet.object_storage import open_binary

# Written last, they say that a unit, or a folder of labels, is whole.
DONE = "done.json"
LABELS_DONE = ".done.json"
TEMPORARY_PREFIX = ".pet-tmp-"
BLOCK = 1 << 20


def derive_seed(base: int, *names: object) -> int:
    """Hash names into a seed, so that adding a member changes nothing for the others."""
    text = json.dumps([base, *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def fingerprint(**inputs: Any) -> str:
    """Hash what goes into a unit; the library's version always belongs to it."""
    text = json.dumps({**inputs, "pet": pet.__version__}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path, tick: Callable[[int], None] = lambda blocks: None) -> str:
    """Return the sha256 of a file's content; `tick` counts its blocks of 1 MB, the last too."""
    digest = hashlib.sha256()
    with open_binary(path) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            tick(1)
    return digest.hexdigest()


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
        raise unwritable(target, error) from error
    temporary = room / target.name
    try:
        yield temporary
        _sync(temporary)
        _put_in_place(temporary, target, room / "replaced")
    except Exception as error:
        told = as_os_error(error)
        if told is not None and _is_about_writing(told, target.parent):
            raise unwritable(target, told) from error
        raise
    finally:
        shutil.rmtree(room, ignore_errors=True)


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
NO_PLACE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST, errno.ENOENT,
            errno.ELOOP, errno.ENAMETOOLONG)  # fmt: skip
# safetensors and tokenizers raise errors of their own; the system's stands in their text only.
RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")


def lasting_name(path: Path) -> Path:
    """Return what a file in a unit that is being written will be called."""
    return Path(*(part for part in path.parts if not part.startswith(TEMPORARY_PREFIX)))


def as_os_error(error: Exception) -> OSError | None:
    """Return what the system had to say, where an error came from there."""
    if isinstance(error, OSError):
        return error
    found = None if isinstance(error, PetError) else RUST_OS_ERROR.search(str(error))
    return OSError(int(found[1]), os.strerror(int(found[1]))) if found else None


def _is_about_writing(error: OSError, folder: Path) -> bool:
    """Tell trouble with the place that is written from trouble with what is read meanwhile."""
    if error.errno in NO_ROOM or error.filename is None:
        return error.errno is not None
    return Path(os.fsdecode(error.filename)).is_relative_to(folder)


def unwritable(target: Path, error: OSError) -> PetError:
    """Say in one screen why a place could not be written."""
    found = error.strerror or str(error)
    target = lasting_name(target)
    if error.errno in NO_ROOM:
        return InputError(
            Problem(str(target), "room on the disk", found,
                    "free some space, then give the same command again: it goes on")
        )  # fmt: skip
    if error.errno in NO_PLACE:
        return InputError(
            Problem(str(target), "a place that can be written", found,
                    "choose another folder, or change its permissions")
        )  # fmt: skip
    return PetError(
        f"{target}\n  expected: a disk that can be written and read\n  found:    {error}\n"
        "  fix:      look after the disk, then give the same command again: it goes on"
    )


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
    except (OSError, ValueError, RecursionError):
        return None


def read_record(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; an empty one where there is none that can be read."""
    record = read_json(path)
    return record if isinstance(record, dict) else {}


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
    record = read_record(folder / DONE)
    if not isinstance(record.get("files"), dict):
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

    `done.json` is written last and holds the fingerprint, each file's sha256 and whatever `build`
    returns: nothing that differs when the same is made again.
    """
    is_finished, reason = finished(folder, expected)
    if is_finished:
        return Unit(folder, expected, True, reason, read_record(folder / DONE))
    with writing(folder) as temporary:
        temporary.mkdir()
        extra = build(temporary) or {}
        files = {
            path.relative_to(temporary).as_posix(): file_digest(path)
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        record = {"fingerprint": expected, "files": files, **extra}
        (temporary / DONE).write_text(json.dumps(record, indent=2, default=str) + "\n")
    return Unit(folder, expected, False, reason, record)


def sweep(folder: Path, below: bool = True) -> int:
    """Remove what a killed process left half-written; return how many pieces there were.

    Args:
        below: in the folders of `folder` too; they must be ours.
    """
    pattern = f"**/{TEMPORARY_PREFIX}*" if below else f"{TEMPORARY_PREFIX}*"
    leftovers = [path for path in folder.glob(pattern) if path.is_dir()]
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)
