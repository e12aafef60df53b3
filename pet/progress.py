"""Progress: how the library reports stages to its caller; by itself it prints nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

Tick = Callable[[int], None]


class Observer:
    """Is called at every stage; this one does nothing.

    Raising `Interrupted` in `advance` stops a run at a safe point: nothing half-done is kept.
    """

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        """A stage starts; `total` is None where its size is not known."""

    def advance(self, amount: int) -> None:
        """So many units more are done."""

    def end(self) -> None:
        """The stage is over."""

    def note(self, line: str) -> None:
        """Something a person should know: what is reused, and what was odd."""

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Tick]:
        """Report one stage from begin to end; yields the function that counts."""
        self.begin(name, total, unit)
        try:
            yield self.advance
        finally:
            self.end()


SILENT = Observer()


class Notes(Observer):
    """Keeps notes, to be passed on by another process."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def note(self, line: str) -> None:
        self._lines.append(line)

    def take(self) -> list[str]:
        """Return the notes since the last time."""
        taken, self._lines = self._lines, []
        return taken


NOTES = Notes()  # of work that was sent to this process by another one


def no_tick(amount: int) -> None:
    """Count nothing."""
