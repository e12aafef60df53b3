"""A disk that fails on demand, and a process that dies on demand, inside this process.

Every operation by which Python changes a folder is counted: a file opened to be written, a write,
a rename, an fsync, a directory made or removed. One of them may be given a fault. What C++ and
Rust write (Parquet, safetensors) is not seen one write at a time, but their files are: they are
opened by nobody else before they are synced, and a full disk is the kernel's own.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pet.nightly import night
from pet.storage.files import lasting_name

# Operation -> the functions that do it, by the names that modules look up when they call them.
FUNCTIONS = {
    "mkdir": ("mkdir",),
    "rmdir": ("rmdir",),
    "unlink": ("unlink", "remove"),
    "rename": ("replace", "rename"),
    "fsync": ("fsync",),
    "truncate": ("ftruncate", "truncate"),
    "write": ("write", "pwrite"),
}
NEED_ROOM = ("mkdir", "create", "write")
YEARS = 3e8  # seconds by which a wrong clock is wrong


class Killed(BaseException):
    """The end of a process: nothing that it does afterwards reaches the disk."""


@dataclass(frozen=True)
class Fault:
    """What happens at one operation.

    Attributes:
        kind: one of `KINDS`.
        operation: which kind of operation it happens at.
        number: at which of them, from 1.
        after: once the operation is done, not before.
        room: bytes that a file may still grow to on a disk that is full.
        shift: seconds by which the clock is wrong from then on.
        undone: whether renames are lost, too, that no fsync has made to last.
    """

    kind: str
    operation: str
    number: int
    after: bool = False
    room: int = 0
    shift: float = 0.0
    undone: bool = False

    def __str__(self) -> str:
        moment = "after" if self.after else "at"
        return f"{self.kind} {moment} {self.operation} {self.number}"


# What may happen at which operations; all may at a write.
KINDS = {
    "killed": (*FUNCTIONS, "create"),
    "power cut": (*FUNCTIONS, "create"),
    "EIO": (*FUNCTIONS, "create"),
    "EIO from then on": (*FUNCTIONS, "create"),
    "disk full": NEED_ROOM,
    "short write": ("write", "fsync", "create"),
    "wrong clock": (*FUNCTIONS, "create"),
    "second process": (*FUNCTIONS, "create"),
}


class Disk:
    """One process at work in a folder, with a fault or without one.

    Attributes:
        counts: how often each operation was carried out below the folder.
        trace: the same, one after another, with the names of the files.
        happened: whether the fault's operation came.

    Args:
        second: what another process does, from its start to its end, while this one waits.
    """

    def __init__(
        self, place: Path, fault: Fault | None = None, second: Callable[[], object] | None = None
    ):
        self.place = os.path.realpath(place)
        self.counts: Counter[str] = Counter()
        self.trace: list[str] = []
        self.happened = False
        self._fault, self._second = fault, second
        self._loses_power = fault is not None and fault.kind == "power cut"
        self._undoes = self._loses_power and fault is not None and fault.undone
        self._thread = threading.get_ident()
        self._dead = self._full = self._broken = self._waits = False
        self._shift = 0.0
        self._patched: list[tuple[Any, str, Any]] = []
        self._open: dict[int, str] = {}  # what the kernel closes when a process dies
        self._synced = {_version(path) for path in _files(self.place)}
        self._renamed: list[tuple[str, str, str]] = []  # what no fsync has made to last: from, to
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def __enter__(self) -> Self:
        for operation, names in FUNCTIONS.items():
            for name in names:
                self._patch(os, name, self._watched(operation, getattr(os, name)))
        self._patch(os, "open", self._opening(os.open))
        self._patch(os, "close", self._closing(os.close))
        opened = self._opening_file(io.open)
        self._patch(io, "open", opened)
        self._patch(builtins, "open", opened)
        self._patch(time, "time", self._shifted(time.time, 1))
        self._patch(time, "time_ns", self._shifted(time.time_ns, 10**9))
        self._patch(night, "datetime", self._calendar())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for module, name, real in reversed(self._patched):
            setattr(module, name, real)
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limit)
        if self._dead:
            for descriptor in self._open:  # its locks, for one
                os.close(descriptor)
        if self._loses_power:
            if self._dead:
                self._lose_what_was_not_synced()
            shutil.rmtree(f"{self.place}.kept", ignore_errors=True)

    def _patch(self, module: Any, name: str, function: Any) -> None:
        self._patched.append((module, name, getattr(module, name)))
        setattr(module, name, function)

    def _watched(self, operation: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(target: Any, *more: Any, dir_fd: int | None = None, **named: Any) -> Any:
            if dir_fd is not None:
                named["dir_fd"] = dir_fd
            path = _path(more[0] if operation == "rename" else target, dir_fd)

            def carry_out() -> Any:
                if operation == "rename" and self._undoes and self._is_own(path):
                    self._renamed.append((_path(target), path, self._kept(path)))
                result = real(target, *more, **named)
                if operation == "fsync":
                    self._synced.add(_version(path))
                    self._renamed = [
                        (old, new, kept)
                        for old, new, kept in self._renamed
                        if path not in (os.path.dirname(old), os.path.dirname(new))
                    ]
                return result

            return self._at(operation, path, carry_out)

        return function

    def _opening(self, real: Callable[..., int]) -> Callable[..., int]:
        def function(path: Any, flags: int, *more: Any, **named: Any) -> int:
            def carry_out() -> int:
                return real(path, flags, *more, **named)

            where = _path(path, named.get("dir_fd"))
            creates = flags & (os.O_CREAT | os.O_TRUNC)
            descriptor: int = self._at("create", where, carry_out) if creates else carry_out()
            if self._is_own(where):
                self._open[descriptor] = where
            return descriptor

        return function

    def _closing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def function(descriptor: int) -> None:
            self._open.pop(descriptor, None)
            real(descriptor)

        return function

    def _opening_file(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            *more: Any,
            **named: Any,
        ) -> Any:
            path = "" if isinstance(file, int) else _path(file)
            if not set(mode) & set("wax") or not self._is_own(path):
                return real(file, mode, buffering, encoding, errors, newline, *more, **named)
            plain = "".join(letter for letter in mode if letter in "wax")
            raw = self._at("create", path, lambda: _File(self, path, plain))
            binary = io.BufferedWriter(raw)
            return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

        return function

    def _shifted(self, real: Callable[[], Any], per_second: int) -> Callable[[], Any]:
        return lambda: real() + type(real())(self._shift * per_second)

    def _calendar(self) -> type[datetime]:
        disk = self

        class Calendar(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Self:
                return cls.fromtimestamp(datetime.now().timestamp() + disk._shift, tz)

        return Calendar

    def _is_own(self, path: str) -> bool:
        """Return whether an operation is this process's, and in its folder."""
        inside = path == self.place or path.startswith(f"{self.place}{os.sep}")
        return inside and not self._waits and threading.get_ident() == self._thread

    def _at(self, operation: str, path: str, carry_out: Callable[[], Any]) -> Any:
        """Carry an operation out, unless something comes between."""
        if not self._is_own(path):
            return carry_out()
        if self._dead:
            raise Killed
        self.counts[operation] += 1
        self.trace.append(f"{operation} {self._name(path)}")
        if self._broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if self._full and operation in NEED_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        fault = self._fault
        if fault is None or (operation, self.counts[operation]) != (fault.operation, fault.number):
            return carry_out()
        self.happened = True
        if fault.after:
            result = carry_out()
            try:
                self._happen(fault, path)
            except BaseException:
                if operation == "create":  # nobody gets it, and nobody closes it
                    os.close(result) if isinstance(result, int) else result.close()
                raise
            return result
        self._happen(fault, path)
        return carry_out()

    def _happen(self, fault: Fault, path: str) -> None:
        match fault.kind:
            case "killed" | "power cut":
                self._dead = True
                raise Killed
            case "EIO" | "EIO from then on":
                self._broken = fault.kind != "EIO"
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            case "disk full" | "short write":
                self._full = fault.kind == "disk full"
                resource.setrlimit(resource.RLIMIT_FSIZE, (fault.room, self._limit[1]))
                if self._full and not fault.after:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            case "wrong clock":
                self._shift = fault.shift
            case "second process":
                assert self._second is not None
                self._waits = True
                try:
                    self._second()
                finally:
                    self._waits = False

    def _name(self, path: str) -> str:
        return lasting_name(Path(os.path.relpath(path, self.place))).as_posix()

    def _kept(self, path: str) -> str:
        """Keep a file that is about to be replaced; return its other name, "" if there is none."""
        if not os.path.isfile(path):
            return ""
        os.makedirs(f"{self.place}.kept", exist_ok=True)
        other = f"{self.place}.kept/{len(os.listdir(f'{self.place}.kept'))}"
        os.link(path, other)
        return other

    def _lose_what_was_not_synced(self) -> None:
        """Undo renames in folders, and cut files in two, that no fsync has brought to the disk."""
        for source, target, kept in reversed(self._renamed):
            if os.path.exists(target) and os.path.isdir(os.path.dirname(source)):
                os.rename(target, source)
                if kept:
                    os.rename(kept, target)
        for path in _files(self.place):
            if _version(path) not in self._synced:
                os.truncate(path, os.path.getsize(path) // 2)


class _File(io.FileIO):
    """A file whose writes are operations; a dead process's reach nobody."""

    def __init__(self, disk: Disk, path: str, mode: str):
        super().__init__(path, mode)
        self._disk, self._path = disk, path

    def write(self, content: Any) -> int:
        if self._disk._dead:
            return len(content)
        return int(self._disk._at("write", self._path, lambda: super(_File, self).write(content)))


def _path(target: Any, dir_fd: int | None = None) -> str:
    """Return the path of what an operation is about, which may be an open file."""
    if isinstance(target, int):
        return os.readlink(f"/proc/self/fd/{target}")
    folder = os.getcwd() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
    return os.path.normpath(os.path.join(folder, os.fsdecode(target)))


def _version(path: str) -> tuple[int, int, int]:
    """Name a file and the state of its content, under whichever name it lies."""
    status = os.stat(path)
    return status.st_ino, status.st_mtime_ns, status.st_size


def _files(place: str) -> list[str]:
    return [os.path.join(root, name) for root, _, names in os.walk(place) for name in names]
