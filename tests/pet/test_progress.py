"""The observer: stages are ended even when they fail."""

from __future__ import annotations

from typing import Any

import pytest

from pet.progress import SILENT, Observer, no_tick


class Diary(Observer):
    def __init__(self) -> None:
        self.lines: list[Any] = []

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self.lines.append(("begin", stage, total, unit))

    def advance(self, amount: int) -> None:
        self.lines.append(("advance", amount))

    def end(self) -> None:
        self.lines.append("end")


def test_a_stage_is_reported_from_begin_to_end() -> None:
    diary = Diary()
    with diary.stage("scoring", 5, "rows") as tick:
        tick(2)
        tick(3)
    assert diary.lines == [
        ("begin", "scoring", 5, "rows"),
        ("advance", 2),
        ("advance", 3),
        "end",
    ]


def test_a_stage_that_fails_is_ended_too() -> None:
    diary = Diary()
    with pytest.raises(ValueError, match="broken"), diary.stage("x", None, "rows"):
        raise ValueError("broken")
    assert diary.lines[-1] == "end"


def test_the_silent_observer_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with SILENT.stage("x", 1, "rows") as tick:
        tick(1)
        SILENT.note("hello")
        no_tick(1)
    assert capsys.readouterr() == ("", "")
