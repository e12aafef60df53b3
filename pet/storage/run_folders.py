"""A run folder, wherever it lies: what is fetched of it, sent to it, and who may write in it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from pet.errors import InputError, Problem
from pet.storage.files import read_record
from pet.storage.locks import locked
from pet.storage.units import file_digest

# Settings that are places: what lies there has digests of its own, and may lie elsewhere by now.
PLACES = frozenset(
    {"out", "task", "labeled", "pool", "test", "model", "student_model", "encoder", "init_from"}
)

NO_LABELS, ALL_LABELS = range(0), range(sys.maxsize)


class RunFolder:
    """A folder of ours on a disk: nothing has to be fetched or sent."""

    def __init__(self, path: Path):
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def names(self) -> list[str]:
        """Name what is in it."""
        return [path.name for path in self.path.glob("*")] if os.path.isdir(self.path) else []

    def fetch_records(self) -> None:
        """Bring what a run is known by."""

    def fetch(
        self,
        labels: range = NO_LABELS,
        parts: Collection[str] | None = None,
        weights: Collection[str] | None = (),
    ) -> int:
        """Bring what is there; return how many files came.

        Args:
            labels: the label files that are wanted, by number.
            parts: the folders of it that are wanted; all, if not given.
            weights: the members whose weights are wanted, by name; all, if None. Only who asks a
                member needs them, and they and the labels are the bulk of a run.
        """
        return 0

    def push(self, only: Iterable[Path] | None = None) -> None:
        """Send what has changed since it was fetched, and take away what is gone.

        Args:
            only: some of its files; nothing is taken away then.
        """

    @contextlib.contextmanager
    def locked(self, note: Callable[[str], None]) -> Iterator[None]:
        """Keep other processes out.

        Raises:
            LockedError: one is working on it.
            InputError: it cannot be written.
        """
        with locked(self.path, note):
            yield


def name_files(folder: Path) -> dict[str, str]:
    """Return the digests of a run's settings and task, for its manifest.

    Of the settings, those that are places are left out.
    """
    settings = {k: v for k, v in read_record(folder / "config.json").items() if k not in PLACES}
    text = json.dumps(settings, sort_keys=True)
    return {
        "config.json": hashlib.sha256(text.encode()).hexdigest(),
        "task.toml": file_digest(folder / "task.toml"),
    }


def refuse_other_files(folder: Path) -> None:
    """Refuse settings or a task other than those that a run was made with.

    The manifests of runs of before name none.

    Raises:
        InputError: one was changed.
    """
    named = read_record(folder / "manifest.json").get("files")
    for name, digest in name_files(folder).items():
        if isinstance(named, dict) and named.get(name) != digest:
            raise InputError(
                Problem(
                    str(folder / name),
                    "the file that the run was made with",
                    "it was changed after the run",
                    "put the old file back, or give the run's `pet run` command again",
                )
            )


def recorded_inputs(folder: Path) -> dict[str, str]:
    """Return the digests of what a run was made from; none where the folder is no run."""
    found = read_record(folder / "manifest.json").get("inputs")
    return found if isinstance(found, dict) else {}


def recorded_run_id(folder: Path) -> str:
    """Return the name that a run was given; its folder's where its record cannot be read."""
    return str(read_record(folder / "manifest.json").get("run_id", folder.name))
