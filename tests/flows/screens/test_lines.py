"""Progress in a file: a stage is there when it begins, while it lasts, and when it ends."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from rich.console import Console

from flows.screens import lines
from flows.screens.lines import LineObserver
from flows.screens.results import progress


class Stop:
    def raise_if_asked(self) -> None:
        """Nobody asks to stop."""


class Spoken(LineObserver):
    """Lets a test wait for a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._new = threading.Condition()
        super().__init__(Console(file=io.StringIO()), Stop())

    def note(self, line: str) -> None:
        with self._new:
            self.lines.append(line)
            self._new.notify_all()

    def wait_for(self, part: str) -> None:
        with self._new:
            assert self._new.wait_for(lambda: any(part in line for line in self.lines), timeout=30)


def test_a_long_stage_says_when_it_begins_and_then_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a terminal a run of hours wrote nothing for as long as one stage lasted."""
    for name in ("WORTH_A_LINE", "LONG", "BETWEEN"):
        monkeypatch.setattr(lines, name, 0.001)
    observer = Spoken()
    with observer.stage("training", 2000, "steps") as tick:
        observer.wait_for("training: begins, 2,000 steps")
        tick(1500)
        observer.wait_for("training: 1,500 of 2,000 steps after")
        tick(500)
    assert "training: 2,000 steps in" in observer.lines[-1]


def test_a_stage_of_a_second_leaves_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage of a small run left two, one below the other."""
    monkeypatch.setattr(lines, "WORTH_A_LINE", 0.0)
    observer = Spoken()
    with observer.stage("scoring", 3, "rows") as tick:
        tick(3)
    assert [line.partition(" in ")[0] for line in observer.lines] == ["scoring: 3 rows"]


def test_a_stage_that_counts_nothing_has_no_rate() -> None:
    """As "0 models in 5.0 s, 0.0 models/s"."""
    assert lines.summary("timing the models", 0, "models", 5.04) == "timing the models: 5.0 s"


def test_a_short_stage_leaves_no_line() -> None:
    observer = Spoken()
    with observer.stage("reading", None, "rows") as tick:
        tick(3)
    assert observer.lines == []


@pytest.mark.parametrize(("terminal", "kind"), [(True, "RichObserver"), (False, "LineObserver")])
def test_bars_are_for_terminals_and_lines_for_files(terminal: bool, kind: str) -> None:
    stop: Any = Stop()
    console = Console(file=io.StringIO(), force_terminal=terminal)
    assert type(progress(console, stop)).__name__ == kind
