"""Bets on errors: false alarms are rare whenever one looks, true ones come."""

from __future__ import annotations

import numpy as np

from pet.method.betting import capital


def test_a_right_row_loses_and_a_wrong_one_wins() -> None:
    found = capital(np.array([False, True]), 0.05)
    assert found[0] < 1 < found[1]


def test_false_alarms_are_rare_however_often_one_looks() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(capital(rng.random(500) < 0.05, 0.05).max() >= 20 for _ in range(400))
    assert alarms <= 400 * 0.05 + 3 * np.sqrt(400 * 0.05 * 0.95)


def test_an_error_rate_three_times_as_high_is_found() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(capital(rng.random(300) < 0.15, 0.05).max() >= 20 for _ in range(100))
    assert alarms > 90


def test_long_series_overflow_nothing() -> None:
    assert np.isfinite(capital(np.ones(5000, bool), 0.01)).all()
