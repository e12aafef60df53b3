"""Where a store keeps labels: a folder per model version, and in it one per file's content.

    labels/v0001/monday.parquet-1c0ffee5c0de/part-00000.parquet

All of a version's folders together hold one row per usable pool row, and can be read as one
dataset: labels of content that is no longer there lie in `_set_aside`, which readers pass over.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pet.nightly.ledger import ModelRecord, State, unit_name
from pet.storage.files import changing, read_record, sync_folder
from pet.storage.units import LABELS_DONE, LABELS_REJECTED

LABELS = "labels"

SET_ASIDE = "_set_aside"


def version_folder(store: Path, model: ModelRecord) -> Path:
    """Return where a model's labels are."""
    return store / LABELS / model.folder


def labels_folder(store: Path, model: ModelRecord, name: str, digest: str) -> Path:
    """Return where a model's labels of a file are."""
    return version_folder(store, model) / unit_name(name, digest)


def has_labels(store: Path, model: ModelRecord, name: str, digest: str) -> bool:
    """Return whether a model's labels of a file's content are whole, set aside or not."""
    folder = labels_folder(store, model, name, digest)
    aside = folder.parent / SET_ASIDE / folder.name
    return any(map(_are_whole, (folder, aside)))


def _are_whole(folder: Path) -> bool:
    """Return whether the label files of a folder are all there, and those that it was closed with.

    Their footers are read, not their pages: a file that was cut off has none.
    """
    done = read_record(folder / LABELS_DONE)
    if not done:
        return False
    names = [f"part-{shard:05d}.parquet" for shard in range(int(done.get("shards", 0)))]
    rows = 0
    for name in [*names, LABELS_REJECTED]:
        try:
            stored = pq.read_metadata(folder / name)
        except (OSError, pa.ArrowException):
            return False
        if (stored.metadata or {}).get(b"source", b"").decode() != done.get("source"):
            return False
        rows += stored.num_rows
    return rows == done.get("rows")


def label_files(store: Path, model: ModelRecord) -> list[Path]:
    """List a model's label files but for those that are set aside."""
    folders = _units(version_folder(store, model))
    return [path for folder in folders for path in sorted(folder.glob("part-*.parquet"))]


def tidy(store: Path, state: State, keep_deleted: bool) -> tuple[int, int]:
    """Put the present model's labels where they belong by the ledger.

    What it no longer names is set aside, what it names again is taken back: renamed, never
    rewritten. Doing it twice changes nothing, so it may be broken off anywhere. Folders of earlier
    models stay as they are.

    Returns:
        (folders set aside, folders taken back)
    """
    if state.model is None:
        return 0, 0
    folder = version_folder(store, state.model)
    aside = folder / SET_ASIDE
    wanted = {
        unit_name(name, file.digest)
        for name, file in state.files.items()
        if state.versions[name] == state.model.version
        and (keep_deleted or name not in state.deleted)
    }
    leaving = [path for path in _units(folder) if path.name not in wanted]
    coming = [path.name for path in _units(aside) if path.name in wanted]
    for path in leaving:
        _set_aside(path, aside)
    return len(leaving), sum(take_back(folder / name) for name in coming)


def take_back(folder: Path) -> bool:
    """Take labels back that were set aside, unless there are others in their place."""
    aside = folder.parent / SET_ASIDE / folder.name
    if folder.exists() or not aside.exists():
        return False
    _rename(aside, folder)
    return True


def _units(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and path.name[0] not in "._")


def _set_aside(path: Path, aside: Path) -> None:
    with changing(aside):
        aside.mkdir(exist_ok=True)
    place, number = aside / path.name, 0
    while place.exists():  # labels of that content were set aside before: all are kept
        number += 1
        place = aside / f"{path.name}.{number}"
    _rename(path, place)


def _rename(path: Path, place: Path) -> None:
    with changing(place):
        os.replace(path, place)
        sync_folder(place.parent)
        sync_folder(path.parent)
