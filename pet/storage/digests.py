"""Files named by what is in them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pet.errors import interrupted_read
from pet.progress import SILENT, Observer
from pet.storage.object_storage import is_remote, key_of, open_binary, path_of, stamp_of
from pet.storage.units import BLOCK, file_digest


def pool_file_digest(path: Path, tick: Callable[[int], None] = lambda blocks: None) -> str:
    """Return the sha256 of a file that lies on a disk or in a bucket, as `file_digest` does."""
    return file_digest(path, tick, open_binary)


def content_digest(
    paths: Iterable[str | Path], observer: Observer = SILENT, *, root: str | Path | None = None
) -> str:
    """Name files by their content and their names, as `file_digests` lists them.

    Raises:
        PetError: a file has disappeared or cannot be read.
    """
    return combined_digest(file_digests(paths, observer, root=root))


def combined_digest(files: Mapping[str, str]) -> str:
    """Name files by one digest of all their names and contents, as `file_digests` lists them."""
    total = hashlib.sha256()
    for name, digest in files.items():
        total.update(json.dumps([name, digest]).encode())
    return total.hexdigest()


def file_digests(
    paths: Iterable[str | Path], observer: Observer = SILENT, *, root: str | Path | None = None
) -> dict[str, str]:
    """Return each file's sha256 by its name, in order.

    Args:
        root: the folder that names are relative to, as row ids are, or the one file itself; None:
            the folder that holds them all, as it was in former versions.

    Raises:
        PetError: a file has disappeared or cannot be read.
    """
    files = {_whole_name(path): path for path in map(path_of, paths)}
    folders = [os.path.dirname(name) for name in files]
    folders += [] if root is None else [_whole_name(path_of(root))]
    base = os.path.commonpath(folders) if folders else ""
    found = {}
    file = Path(base)
    try:
        blocks = sum(-(-int(stamp_of(file)[0]) // BLOCK) for file in files.values())
        with observer.stage("taking the pool's fingerprint", blocks, "MB") as tick:
            for name, file in sorted(files.items(), key=lambda item: Path(item[0])):
                found[Path(name).relative_to(base).as_posix()] = pool_file_digest(file, tick)
    except OSError as error:
        raise interrupted_read(error.filename or file, error) from error
    return found


def _whole_name(path: Path) -> str:
    return key_of(str(path)) if is_remote(path) else str(path.absolute())
