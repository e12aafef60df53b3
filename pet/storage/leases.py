"""One process at a time works on a prefix of object storage: a lock with a lease."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pet.errors import LockedError, locked_error
from pet.storage.files import TEMPORARY_PREFIX
from pet.storage.object_storage import as_pet_error, file_system, key_of

LEASE_SECONDS = 120.0  # after which a lock that was not renewed is free

RENEWALS = 4  # in the time of a lease


class Lease:
    """A lock that this process holds and renews.

    The lock is an object that only one of several processes can create (a conditional put). Its
    time stamp is the storage's own, and is held against that of an object written now: S3 takes
    requests from clocks that are a quarter of an hour off. A holder without network for longer than
    a lease loses the lock, so two processes may, rarely, both work for the time of a renewal. That
    does no harm: both write the same bytes under the same names, and a unit counts only if its
    files are those that its `done.json` names. The one that has lost the lock sees it at its next
    renewal, and ends.
    """

    def __init__(self, address: str):
        self.address = address
        self.key = f"{key_of(address)}/.lock"
        self.taken_by = ""  # who took the lock from us, if anybody did
        self._files = file_system(address)
        own = {"process": os.getpid(), **where_processes_are(), "token": secrets.token_hex(8)}
        self._content = json.dumps(own).encode()
        self._ended = threading.Event()

    def take(self, note: Callable[[str], None]) -> None:
        """Create the lock; take over one whose holder is gone.

        Raises:
            LockedError: another process holds it.
        """
        while not self._create():
            found = self._look()
            if found is None:
                continue  # it was given back just now
            holder, renewed = found
            age = (self._now() - renewed).total_seconds()
            if age < LEASE_SECONDS and not _is_dead(holder):
                raise _refusal(self.address, _name(holder), age)
            note(f"the lock of {_name(holder)}, which is gone, is taken over")
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(self.key)

    def _create(self) -> bool:
        try:
            self._files.pipe_file(self.key, self._content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if "conflicting conditional operation" not in str(error):
                raise
            return False  # S3's answer to two that try in the same moment: look again
        return True

    def _look(self) -> tuple[dict[str, Any], datetime] | None:
        """Return who holds the lock, and when it was renewed, by the storage's clock."""
        try:
            content = self._files.cat_file(self.key)
            renewed: datetime = self._files.modified(self.key)
        except FileNotFoundError:
            return None
        try:
            holder = json.loads(content)
        except ValueError:
            holder = None
        return holder if isinstance(holder, dict) else {}, renewed

    def _now(self) -> datetime:
        """Ask the storage what time it is."""
        probe = f"{key_of(self.address)}/{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        self._files.pipe_file(probe, b"")
        try:
            now: datetime = self._files.modified(probe)
        finally:
            self._files.rm_file(probe)
        return now

    def renew(self) -> None:
        """Renew the lock until it is given back, or another process holds it."""
        while not self._ended.wait(LEASE_SECONDS / RENEWALS):
            # Without a network there is nothing to be done about it: the next time, perhaps.
            with contextlib.suppress(Exception):
                if not self._is_ours():
                    return
                self._files.pipe_file(self.key, self._content)

    def _is_ours(self) -> bool:
        found = self._look()
        if found is None or json.dumps(found[0]).encode() != self._content:
            self.taken_by = _name(found[0] if found else {})
            return False
        return True

    def give_back(self) -> None:
        """Remove the lock, if it is still ours."""
        self._ended.set()
        if self._is_ours():
            self._files.rm_file(self.key)

    def check(self) -> None:
        """Refuse to go on once another process holds the lock.

        Raises:
            LockedError: another process does.
        """
        if self.taken_by:
            raise _refusal(self.address, self.taken_by, 0)


@contextlib.contextmanager
def leased(address: str, note: Callable[[str], None] = lambda line: None) -> Iterator[Lease]:
    """Hold an address for this process, for as long as the block lasts.

    Raises:
        LockedError: another process holds it.
        InputError: the bucket cannot be used.
    """
    with as_pet_error(address):
        lease = Lease(address)
        lease.take(note)
    renewing = threading.Thread(target=lease.renew, name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        with contextlib.suppress(Exception):  # one that stays ends with its lease
            lease.give_back()
        renewing.join()


def _name(holder: dict[str, Any]) -> str:
    known = holder.keys() >= {"process", "host"}
    return f"process {holder['process']} on {holder['host']}" if known else "another process"


def where_processes_are() -> dict[str, str]:
    """State among which processes ours has its number: of which machine, start and container.

    Containers may share a host's name, as copies of one have it, and still not see each other.
    Where a system has no such marks, they are empty.
    """
    return {"host": socket.gethostname(), "boot": _boot(), "namespace": _namespace()}


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _is_dead(holder: dict[str, Any]) -> bool:
    """Return whether a holder was a process that we would see, and is no more."""
    if not where_processes_are().items() <= holder.items():
        return False
    if type(holder.get("process")) is not int:
        return False
    try:
        os.kill(holder["process"], 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _refusal(address: str, holder: str, age: float) -> LockedError:
    left = max(0, round(LEASE_SECONDS - age))
    return locked_error(
        address,
        f"it is held by {holder}, as of {max(0, round(age))} s ago",
        f"; if it was killed, its lock ends {left} s from now",
    )
