"""What has changed in a pool folder since the ledger's last entry, by content."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pet.data.data_files import list_files, special_kind
from pet.data.text_readers import is_unicode
from pet.errors import InputError, PetError, Problem
from pet.nightly.ledger import State
from pet.progress import Observer
from pet.storage.digests import pool_file_digest
from pet.storage.files import read_record, write_json
from pet.storage.object_storage import stamp_of

DIGESTS = ".digests.json"  # a memory of what was hashed; it may be deleted at any time


@dataclass(frozen=True)
class Stamp:
    """The file system's record of a file. No program can set the time of the last change."""

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        return cls(*map(int, stamp_of(path)))


class Late(PetError):
    """A file is left for the next night: it is being written, or cannot be read at present."""


@dataclass(frozen=True)
class PoolFile:
    """A file of the pool as it was looked at; `digest` is its content's sha256."""

    name: str
    path: Path
    stamp: Stamp
    digest: str

    def has_changed(self) -> bool:
        """Return whether the file is another one, or gone, since it was looked at."""
        try:
            return Stamp.of(self.path) != self.stamp
        except OSError:
            return True


@dataclass
class Arrivals:
    """The pool beside the ledger.

    Attributes:
        present: name -> file that can be read and was left alone for long enough.
        to_label: those without labels of the present model, for their present content.
        replaced: names whose content has changed since it was labeled.
        deleted: names that have left the pool since the last entry.
        returned: names that are again as they were labeled.
        late: names that are still being written: they are left for the next night.
        unreadable: name -> why.
        passed_over: name of every file that is of no kind that is read -> how to convert it.
        special: name -> what it is instead of a file: it is never opened.
    """

    present: dict[str, PoolFile]
    to_label: list[PoolFile] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)
    special: dict[str, str] = field(default_factory=dict)


def scan_pool(
    pool: Path,
    memory: Path,
    settle_seconds: float,
    observer: Observer,
    sleep: Callable[[float], None] = time.sleep,
) -> Arrivals:
    """List the pool's files with their digests; files that are being written are skipped.

    A digest is remembered with the file's stamp. That is safe for two reasons: the time of the
    last change cannot be set by a program, and a digest is only remembered of a file that had
    been left alone for `settle_seconds`, so that no later write can carry the same time.

    Args:
        memory: the file of remembered digests; written only if what it holds has changed.
        settle_seconds: more than a tick of the file system's clock, and of the clocks' difference
            where the pool lies on another machine.

    Raises:
        InputError: the pool is no folder.
    """
    if not pool.is_dir():
        raise InputError(
            Problem(
                str(pool),
                "the folder where texts arrive",
                "no folder",
                "check the path; if it is a mounted disk, mount it",
            )
        )
    found = Arrivals({})
    listing = list_files(pool)
    listed = {path.relative_to(pool).as_posix(): path for path in listing.files}
    paths = {name: path for name, path in listed.items() if is_unicode(name)}
    for name in sorted(listed.keys() - paths.keys()):
        found.unreadable[_printable(name)] = "its name is not UTF-8; rename it"
    found.passed_over = {_printable(n): _printable(own) for n, own in listing.passed_over.items()}
    settled, fresh = _settled(paths, settle_seconds, sleep, found)
    _digest(paths, settled, fresh, memory, found, observer)
    return found


def _printable(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _settled(
    paths: Mapping[str, Path], seconds: float, sleep: Callable[[float], None], found: Arrivals
) -> tuple[dict[str, Stamp], set[str]]:
    """Return the stamps of files that stay as they are, and the names of those too young to trust.

    A file that was changed just now is waited for once; one that goes on changing is late.
    """
    stamps = _stamps(paths.items(), found)
    latest = time.time_ns() - int(seconds * 1e9)
    young = [name for name, stamp in stamps.items() if stamp.changed > latest]
    if young and seconds:
        sleep(seconds)
        again = _stamps(((name, paths[name]) for name in young), found)
        found.late = sorted(name for name in young if again.get(name) != stamps[name])
    latest = time.time_ns() - int(seconds * 1e9)
    settled = {name: stamp for name, stamp in stamps.items() if name not in found.late}
    return settled, {name for name, stamp in settled.items() if stamp.changed > latest}


def _stamps(paths: Iterable[tuple[str, Path]], found: Arrivals) -> dict[str, Stamp]:
    stamps = {}
    for name, path in paths:
        try:
            if kind := special_kind(path):
                found.special[name] = kind
            else:
                stamps[name] = Stamp.of(path)
        except FileNotFoundError:
            continue  # it has just left
        except OSError as error:
            found.unreadable[name] = error.strerror or str(error)
    return stamps


def _digest(
    paths: Mapping[str, Path],
    stamps: Mapping[str, Stamp],
    fresh: set[str],
    memory: Path,
    found: Arrivals,
    observer: Observer,
) -> None:
    remembered = read_record(memory)
    known: dict[str, list[object]] = {}
    with observer.stage("looking at the pool", len(stamps), "files") as tick:
        for name, stamp in sorted(stamps.items()):
            numbers = [stamp.size, stamp.modified, stamp.changed, stamp.inode]
            entry = remembered.get(name)
            if isinstance(entry, list) and len(entry) == 5 and entry[:4] == numbers:
                digest = str(entry[4])
            else:
                try:
                    digest = pool_file_digest(paths[name])
                except OSError as error:
                    found.unreadable[name] = error.strerror or str(error)
                    continue
            found.present[name] = PoolFile(name, paths[name], stamp, digest)
            if found.present[name].has_changed():
                del found.present[name]
                found.late.append(name)
            elif name not in fresh:
                known[name] = [*numbers, digest]
            tick(1)
    if known != remembered:
        write_json(memory, known)


def compare(
    found: Arrivals,
    state: State,
    has_labels: Callable[[PoolFile], bool],
    read_as: Mapping[str, str] | None = None,
) -> None:
    """Find what the ledger does not know yet, in place.

    Args:
        has_labels: whether a file's labels of the present model are on disk.
        read_as: how the settings say that CSV files are written.
    """
    version = state.model.version if state.model else 0
    for name, file in found.present.items():
        record, bad = state.files.get(name), state.bad.get(name)
        if bad is not None and bad.digest == file.digest and bad.read_as == (read_as or {}):
            continue
        is_known = record is not None and record.digest == file.digest
        if not is_known or state.versions[name] != version or not has_labels(file):
            found.to_label.append(file)
            if record is not None and not is_known:
                found.replaced.append(name)
        elif name in state.deleted or bad is not None:
            found.returned.append(name)
    here = {*found.present, *found.late, *found.unreadable, *found.special}
    gone = {*state.files, *state.bad} - here - state.deleted
    found.deleted = sorted(gone)
