"""A run folder, wherever it lies: what is fetched of it, sent to it, and who may write in it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from pet.storage.locks import locked

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
