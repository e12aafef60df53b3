"""Run folders on object storage: worked on in a mirror on this machine's disk, sent piece by piece.

Object storage has no rename in one step, which is what keeps a run folder on a disk whole. What it
has is a put that is atomic for one object. So a unit's files are sent first and the `done.json`
that names their digests last, and before a unit changes its `done.json` goes. What has no
`done.json`, or files that are not those it names, is as if it was not there: `units.finished`
sees to that, here as on a disk.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from pet.errors import InputError, LockedError, Problem
from pet.storage.files import TEMPORARY_PREFIX, changing, read_record, write_json
from pet.storage.leases import Lease, leased
from pet.storage.locations import is_on_store, place_problem
from pet.storage.locks import LOCK, hold_file, locked
from pet.storage.object_storage import (
    as_pet_error,
    file_system,
    files_below,
    key_of,
    names_in,
    version_of,
)
from pet.storage.run_folders import NO_LABELS, RunFolder
from pet.storage.units import DONE, LABELS_DONE

SCRATCH = "PET_SCRATCH"  # the environment variable that names the folder


def take_scratch(address: str) -> Path:
    """Take a folder for a mirror that no other process has; it is free again when this one ends.

    Raises:
        InputError: the disk cannot be written.
    """
    scratch = os.environ.get(SCRATCH)
    base = Path(scratch) if scratch else _cache_folder() / "scratch"
    rooms = base / hashlib.sha256(address.encode()).hexdigest()[:16]
    for number in itertools.count():
        room = rooms / str(number)
        try:
            with changing(room):
                room.mkdir(parents=True, exist_ok=True)
                hold_file(room / "lock")
        except LockedError:
            continue
        for leftover in room.glob("tmp*"):  # of a fetch that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        return room
    raise AssertionError("numbers do not end")


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pet"


MARKERS = (DONE, LABELS_DONE)

RECORDS = ("manifest.json", "config.json", "task.toml")  # by which a run is known

LABEL_FILE = re.compile(r"(?:labels/)?part-(\d+)\.parquet")

WEIGHTS = re.compile(r"members/([^/]+)/[^/]+\.safetensors")


class Mirror(RunFolder):
    """A folder on object storage, and what this process has of it on a disk.

    No two processes share a mirror: each takes the first that is free, for as long as it lives.
    `_index` names the files of the mirror that are as they are in the bucket: the object's ETag,
    and the file's size and time.
    """

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        self._files = file_system(address)
        self._room = take_scratch(self.address)
        # A folder of its own: an address may end in the name of one of the room's files.
        super().__init__(self._room / "mirror" / self.address.rpartition("/")[2])
        found = read_record(self._room / "index.json")
        self._index = {name: tuple(known) for name, known in found.items()}
        self._lease: Lease | None = None
        self._fetched = False

    def __str__(self) -> str:
        return self.address

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process, which has a mirror of its own."""
        return open_run_folder, (self.address,)

    def names(self) -> list[str]:
        return names_in(self.address)

    def fetch_records(self) -> None:
        there = set(self.names()) & set(RECORDS)
        for name in RECORDS:
            (self.path / name).unlink(missing_ok=True)
            self._index.pop(name, None)
        self._get(there)

    def fetch(
        self,
        labels: range = NO_LABELS,
        parts: Collection[str] | None = None,
        weights: Collection[str] | None = (),
    ) -> int:
        there = {
            name: version_of(info)
            for name, info in files_below(self.address).items()
            if not _is_passing(name)
        }
        here = self._look()
        _refuse_names(self.address, there)
        same = {
            name: known
            for name, known in self._index.items()
            if here.get(name) == known[1:] and there.get(name) == known[0]
        }
        new = [name for name in there if name not in same]
        wanted = [name for name in new if _is_wanted(name, labels, parts, weights)]
        # What is new here and not there was made by a process that could not send it: it is kept.
        outdated = {name for name in here if name in self._index or name in there} - same.keys()
        remade = [name.removesuffix(DONE) for name in wanted if name.rpartition("/")[2] == DONE]
        for name in here.keys() - same.keys():
            if name in outdated or name.startswith(tuple(remade)):
                (self.path / name).unlink(missing_ok=True)
        self._index, self._fetched = same, True
        self._get(wanted)
        now = self._look()
        self._note({name: (there[name], *now[name]) for name in wanted if name in now})
        return len(wanted)

    def _get(self, names: Iterable[str]) -> None:
        """Bring objects, each in one step."""
        names = sorted(names)
        if not names:
            return
        with changing(self.path), tempfile.TemporaryDirectory(dir=self._room) as room:
            places = [f"{room}/{number}" for number in range(len(names))]
            with as_pet_error(self.address):
                try:
                    self._files.get([*map(self._key, names)], places)
                except FileNotFoundError:  # another node replaces a unit just now
                    self._get_what_is_left(names, places)
            for name, place in zip(names, places, strict=True):
                if os.path.exists(place):
                    (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(place, self.path / name)

    def _get_what_is_left(self, names: list[str], places: list[str]) -> None:
        for name, place in zip(names, places, strict=True):
            Path(place).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self._files.get_file(self._key(name), place)

    def push(self, only: Iterable[Path] | None = None) -> None:
        assert self._fetched, "what was never here is not gone"
        if self._lease is not None:
            self._lease.check()
        here = self._look(only)
        new = [name for name, seen in here.items() if self._index.get(name, ())[1:] != seen]
        gone = [] if only is not None else [name for name in self._index if name not in here]
        markers = [name for name in new if name.rpartition("/")[2] in MARKERS]
        outdated = [name for name in {*markers, *gone} if name in self._index]
        outdated.sort(key=lambda name: name.rpartition("/")[2] not in MARKERS)
        try:
            with as_pet_error(self.address):
                for name in outdated:  # markers first
                    self._remove(name)
                self._put([name for name in new if name not in markers], here)
                self._put(markers, here)
        finally:
            self._note({})

    def _put(self, names: list[str], here: dict[str, tuple[int, int]]) -> None:
        """Send files side by side, and note what they are called there."""
        if not names:
            return
        self._files.put([str(self.path / name) for name in names], [*map(self._key, names)])
        for name in names:
            self._index[name] = (version_of(self._files.info(self._key(name))), *here[name])

    def _remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._key(name))
        self._index.pop(name, None)

    def _key(self, name: str) -> str:
        return f"{key_of(self.address)}/{name}"

    def _look(self, only: Iterable[Path] | None = None) -> dict[str, tuple[int, int]]:
        """Return size and time of the mirror's files, by name."""
        found = {}
        for path in self.path.rglob("*") if only is None else only:
            name = path.relative_to(self.path).as_posix()
            if path.is_file() and not _is_passing(name):
                status = path.stat()
                found[name] = status.st_size, status.st_mtime_ns
        return found

    def _note(self, known: dict[str, tuple[Any, ...]]) -> None:
        self._index |= known
        write_json(self._room / "index.json", self._index)

    @contextlib.contextmanager
    def locked(self, note: Callable[[str], None]) -> Iterator[None]:
        with locked(self.path), leased(self.address, note) as self._lease:
            try:
                yield
            finally:
                self._lease = None


def open_run_folder(place: str | Path) -> RunFolder:
    """Return a run folder, or a folder of labels, wherever it is; nothing is fetched yet.

    Raises:
        InputError: the package for this storage is not installed, or there is no place for scratch.
    """
    return _mirror(str(place).rstrip("/")) if is_on_store(place) else RunFolder(Path(place))


@functools.cache
def _mirror(address: str) -> Mirror:
    return Mirror(address)


def fetch_run(
    place: str, labels: range = NO_LABELS, parts: Collection[str] | None = None
) -> RunFolder:
    """Fetch a run that is there already, as far as it is wanted; see `RunFolder.fetch`.

    Raises:
        InputError: the place is no path and no address, or nothing is there.
    """
    if problem := place_problem("RUN", place, stores=True):
        raise InputError(problem)
    folder = open_run_folder(place)
    if is_on_store(place) and not folder.names():
        raise InputError(
            Problem(place, "the folder of a run", "nothing there", "check the bucket and the name")
        )
    folder.fetch(labels, parts, weights=None)
    return folder


def _is_passing(name: str) -> bool:
    """Return whether a name is that of a lock, or of something in the making."""
    return name == LOCK or any(part.startswith(TEMPORARY_PREFIX) for part in name.split("/"))


def _is_wanted(
    name: str, labels: range, parts: Collection[str] | None, weights: Collection[str] | None
) -> bool:
    if found := LABEL_FILE.fullmatch(name):
        return int(found[1]) in labels
    if weights is not None and (found := WEIGHTS.fullmatch(name)) and found[1] not in weights:
        return False
    return parts is None or "/" not in name or name.partition("/")[0] in parts


def _refuse_names(address: str, names: Iterable[str]) -> None:
    """Refuse objects whose names lead out of the mirror.

    Raises:
        InputError: there are some.
    """
    for name in names:
        if {"", ".", ".."} & set(name.split("/")) or "\0" in name:
            raise InputError(
                Problem(
                    address,
                    "objects with names that files can have",
                    repr(name),
                    "remove it, or choose another --out",
                )
            )
