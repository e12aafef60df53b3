"""Repeated ids: found in pools of any size, in bounded memory."""

from __future__ import annotations

import pytest

from pet.data.duplicate_ids import RepeatedIds


def test_ids_of_their_own_are_no_repeats_and_nothing_is_said() -> None:
    found = RepeatedIds()
    found.offer(str(number) for number in range(1000))
    assert (found.share, found.warning) == (0.0, "")


def test_days_that_each_begin_at_zero_are_noticed() -> None:
    found = RepeatedIds()
    for _ in range(2):
        found.offer(str(number) for number in range(50))
    assert found.share == pytest.approx(0.5)
    assert "about 50.0% of the pool's rows" in found.warning


def test_a_pool_of_more_ids_than_are_watched_is_judged_by_a_sample_of_them() -> None:
    found = RepeatedIds(watched=100)
    for day in range(4):
        found.offer(f"{day if number % 2 else 0}-{number}" for number in range(5000))
    assert len(found._rows) <= 100
    assert found.share == pytest.approx(3 / 8, abs=0.12)


def test_nothing_is_no_division_by_zero() -> None:
    assert RepeatedIds().share == 0.0
