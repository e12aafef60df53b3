"""Units of work: folders that are whole or absent, named by what went in; seeds by name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pet
from pet.storage.files import read_record, writing

# Written last, they say that a unit, or a folder of labels, is whole.
DONE = "done.json"

LABELS_DONE = ".done.json"

# Readers of a folder of Parquet files pass over names that begin with a point or an underscore.
LABELS_REJECTED = "_rejected.parquet"

# What a model or scores are loaded from: such a file that a unit did not write changes answers.
LOADED = (".json", ".safetensors", ".txt", ".model", ".jinja", ".parquet", ".bin", ".py")

BLOCK = 1 << 20


def derive_seed(base: int, *names: object) -> int:
    """Hash names into a seed, so that adding a member changes nothing for the others."""
    text = json.dumps([base, *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def fingerprint(**inputs: Any) -> str:
    """Hash what goes into a unit; the library's version always belongs to it."""
    text = json.dumps({**inputs, "pet": pet.__version__}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def open_local(path: Path) -> BinaryIO:
    return path.open("rb")


def file_digest(
    path: Path,
    tick: Callable[[int], None] = lambda blocks: None,
    open_file: Callable[[Path], BinaryIO] = open_local,
) -> str:
    """Return the sha256 of a file's content.

    Args:
        tick: counts blocks of 1 MB, the last too.
        open_file: opens a path that need not lie on a disk.
    """
    digest = hashlib.sha256()
    with open_file(path) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            tick(1)
    return digest.hexdigest()


@dataclass(frozen=True)
class Unit:
    """A piece of work on disk: whole, and named by what went into it."""

    path: Path
    fingerprint: str
    reused: bool
    reason: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)


def finished(folder: Path, expected: str) -> tuple[bool, str]:
    """Return whether the unit in `folder` is whole and made from `expected`; if not, why not.

    Every file is held against the digest in `done.json`, and what else it says against its own, so
    weights and numbers that were changed after the fact are found. Former units have no `digest`.
    """
    if not folder.exists():
        return False, "not made yet"
    record = read_record(folder / DONE)
    if not isinstance(record.get("files"), dict):
        return False, f"no readable {DONE}"
    if record.get("digest") not in (None, _record_digest(record)):
        return False, f"{DONE} was changed after it was made"
    if record.get("fingerprint") != expected:
        return False, "its inputs or settings have changed"
    difference = difference_of(folder, record["files"], DONE)
    return not difference, difference or "up to date"


def difference_of(folder: Path, files: Mapping[str, str], *beside: str) -> str:
    """State which file was changed, removed or added since a folder was made; "" for none.

    Args:
        files: name -> sha256 of those that were there.
        beside: names that are passed over.
    """
    for name, digest in files.items():
        path = folder / name
        if not path.is_file() or file_digest(path) != digest:
            return f"{name} was changed or removed after it was made"
    for path in sorted(folder.iterdir()):  # scores of a member come into a folder below
        if path.suffix in LOADED and path.name not in {*files, *beside}:
            return f"{path.name} was added after it was made"
    return ""


def with_digest(record: Mapping[str, Any]) -> dict[str, Any]:
    """Add the digest of all that a record says, under which `finished` takes it."""
    return {**record, "digest": _record_digest(record)}


def _record_digest(record: Mapping[str, Any]) -> str:
    own = {name: value for name, value in record.items() if name != "digest"}
    text = json.dumps(json.loads(json.dumps(own, default=str)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


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
        record = with_digest({"fingerprint": expected, "files": files, **extra})
        (temporary / DONE).write_text(json.dumps(record, indent=2, default=str) + "\n")
    return Unit(folder, expected, False, reason, record)
