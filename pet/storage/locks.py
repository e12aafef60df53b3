"""One process at a time works on a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from pet.errors import InputError, Problem, locked_error
from pet.storage.files import changing

LOCK = ".lock"  # a hidden name: readers of a folder of Parquet files pass it over

HELD = (errno.EWOULDBLOCK, errno.EACCES)


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
                    Problem(
                        str(folder),
                        "a folder whose files lie in it",
                        f"{os.path.relpath(path, real)}, a link to {target}",
                        "put what it leads to in its place, or choose another --out",
                    )
                )


@contextlib.contextmanager
def locked(folder: Path, note: Callable[[str], None] = lambda line: None) -> Iterator[None]:
    """Hold the folder for this process.

    The kernel drops the lock when its holder dies, so a stale one is never waited for. What stands
    in the file only tells people who it was: a process number may have been given anew, and a host
    may be another one.

    Raises:
        LockedError: another live process holds it.
        InputError: the folder cannot be written, its file system knows no locks, or a link leads
            out of it.
    """
    path = folder / LOCK
    refuse_links(folder)
    with changing(path):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = hold_file(path)
        try:
            if holder := _holder(descriptor):
                note(f"the lock of {holder}, which is gone, is taken over")
            _name(descriptor, f"process {os.getpid()} on {socket.gethostname()}")
        except BaseException:
            os.close(descriptor)
            raise
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a name that stays is taken over with a line
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def hold_file(path: Path) -> int:
    """Lock a file until it is closed, or the process ends; it is the one at `path` to the end.

    Raises:
        LockedError: another live process holds it.
    """
    while True:
        # A link in the lock's place would have another file emptied.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, descriptor):
                return descriptor
        except OSError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise _refusal(path, holder, error) from error
        os.close(descriptor)  # whoever held it has removed it: the next one is made anew


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _refusal(path: Path, holder: str, error: OSError) -> Exception:
    if error.errno in HELD:
        return locked_error(path.parent, f"it is held by {holder or 'another process'}")
    return InputError(
        Problem(
            str(path),
            "a file system that has locks (flock)",
            error.strerror or str(error),
            "choose an --out on another one; without locks two runs could mix",
        )
    )


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 1000, 0).decode("utf-8", "replace").strip()


def _name(descriptor: int, holder: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, holder.encode(), 0)
