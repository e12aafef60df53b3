from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows.screens.results import RateColumn


@pytest.mark.parametrize(
    ("speed", "shown"),
    [(0.53, "0.5 steps/s"), (9.4, "9.4 steps/s"), (37.2, "37 steps/s"), (2100.0, "2,100 steps/s")],
)
def test_half_a_step_a_second_is_not_shown_as_one(speed: float, shown: str) -> None:
    task = SimpleNamespace(finished_speed=speed, speed=None, fields={"unit": "steps"})
    assert RateColumn().render(cast(Any, task)).plain == shown


def test_no_rate_is_shown_before_there_is_one() -> None:
    task = SimpleNamespace(finished_speed=None, speed=None, fields={"unit": "rows"})
    assert RateColumn().render(cast(Any, task)).plain == ""
