"""How pages write what they show."""

from __future__ import annotations

from pet.reporting.report_page import duration


def test_times_are_written_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (0.04, 59.94, 61, 3599.9, 7260)] == [
        "0.0 s", "59.9 s", "1 min 1 s", "1 h 0 min", "2 h 1 min"
    ]  # fmt: skip
