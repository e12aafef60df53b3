"""Progress where there is no terminal: a line at the end of a stage, more of a long one."""

from __future__ import annotations

import threading
import time
from typing import Any

from rich.console import Console

from pet.escaping import visible
from pet.progress import Observer

WORTH_A_LINE = 1.0  # seconds: shorter stages pass without leaving a line

LONG = 5.0  # seconds after which a stage says that it has begun: a short one leaves one line

BETWEEN = 60.0  # seconds between two lines of a stage


def counted(count: int, what: str) -> str:
    """Write a number with its noun: 1 file, 2 files."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def rate(speed: float, unit: str) -> str:
    """Whole units per second from ten on, tenths below: half a step a second is not one."""
    return f"{speed:,.{0 if speed >= 10 else 1}f} {unit}/s"


def summary(stage: str, done: float, unit: str, seconds: float) -> str:
    """Describe a stage that is over."""
    if not done:  # it counted nothing
        return f"{stage}: {seconds:.1f} s"
    speed = f", {rate(done / seconds, unit)}" if seconds else ""
    return f"{stage}: {done:,.0f} {unit} in {seconds:.1f} s{speed}"


class LineObserver(Observer):
    """Writes lines, also while a stage counts nothing: a log shows that the command is alive."""

    def __init__(self, console: Console, stop: Any):
        self._console = console
        self._stop = stop
        self._stage: _Stage | None = None

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self._stop.raise_if_asked()
        self._stage = _Stage(self, visible(stage), total, unit)

    def advance(self, amount: int) -> None:
        if self._stage is not None:
            self._stage.done += amount
        self._stop.raise_if_asked()

    def end(self) -> None:
        stage, self._stage = self._stage, None
        if stage is not None and (seconds := stage.close()) >= WORTH_A_LINE:
            self.note(summary(stage.name, stage.done, stage.unit, seconds))

    def note(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Stage:
    """One stage, and the thread that reports on it until it is over."""

    def __init__(self, observer: LineObserver, name: str, total: int | None, unit: str):
        self.name, self.unit, self.done = name, unit, 0
        self._observer, self._total = observer, total
        self._start = time.monotonic()
        self._over = threading.Event()
        threading.Thread(target=self._report, daemon=True).start()

    def close(self) -> float:
        """End the reports; return the seconds that it took."""
        self._over.set()
        return time.monotonic() - self._start

    def _report(self) -> None:
        of = "" if self._total is None else f" of {self._total:,}"
        if self._over.wait(LONG):
            return
        count = f", {self._total:,} {self.unit}" if self._total is not None else ""
        self._observer.note(f"{self.name}: begins{count}")
        while not self._over.wait(BETWEEN):
            seconds = time.monotonic() - self._start
            self._observer.note(f"{self.name}: {self.done:,}{of} {self.unit} after {seconds:.0f} s")
