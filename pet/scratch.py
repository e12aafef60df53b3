"""Where mirrors of what lies on object storage are kept: a folder per address and process."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from pathlib import Path

from pet.errors import LockedError
from pet.locks import hold_file
from pet.runs import unwritable

SCRATCH = "PET_SCRATCH"  # the environment variable that names the folder


def free_room(address: str) -> Path:
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
            room.mkdir(parents=True, exist_ok=True)
            hold_file(room / "lock")
        except LockedError:
            continue
        except OSError as error:
            raise unwritable(room, error) from error
        for leftover in room.glob("tmp*"):  # of a fetch that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        return room
    raise AssertionError("numbers do not end")


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pet"
