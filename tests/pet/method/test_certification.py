"""Exact tests: by hand, by enumeration, and by drawing again and again."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest

from pet.method.certification import (
    Draw,
    Stratum,
    alpha_share,
    fewest_draws,
    fixed_sequence,
    p_value,
    rows_needed,
    wrong_allowed,
)


def test_one_stratum_is_the_hypergeometric_tail() -> None:
    chance = sum(comb(5, x) * comb(15, 6 - x) for x in (0, 1)) / comb(20, 6)
    assert p_value([Stratum(20, 6, 1)], 5) == pytest.approx(chance)


def test_an_empty_stratum_changes_nothing() -> None:
    alone = p_value([Stratum(50, 20, 1)], 9)
    assert p_value([Stratum(0, 0, 0), Stratum(50, 20, 1)], 9) == alone


def test_rows_that_nobody_drew_prove_nothing() -> None:
    assert p_value([Stratum(50, 20, 0), Stratum(10, 0, 0)], 5) == 1.0


def test_more_wrong_rows_than_there_are_is_impossible() -> None:
    assert p_value([Stratum(3, 1, 1), Stratum(4, 1, 1)], 8) == 0.0


@pytest.mark.parametrize("sizes", [(12, 4, 9, 6), (30, 5, 10, 8), (8, 6, 20, 5)])
def test_two_strata_reject_too_often_for_no_split_of_the_wrong_rows(
    sizes: tuple[int, int, int, int],
) -> None:
    """The chance of p <= u is at most u, whichever rows are wrong: every outcome is counted."""
    rows, drawn, others, drawn_others = sizes
    for least in (2, 4, 6):
        found = {
            (x, y): p_value([Stratum(rows, drawn, x), Stratum(others, drawn_others, y)], least)
            for x, y in product(range(drawn + 1), range(drawn_others + 1))
        }
        for wrong in (least, least + 2):
            for first in range(max(0, wrong - others), min(rows, wrong) + 1):
                for level in (0.05, 0.1, 0.3):
                    chance = sum(
                        _chance(rows, first, drawn, x)
                        * _chance(others, wrong - first, drawn_others, y)
                        for (x, y), p in found.items()
                        if p <= level
                    )
                    assert chance <= level + 1e-9, (least, wrong, first, level)


def _chance(rows: int, wrong: int, drawn: int, x: int) -> float:
    return comb(wrong, x) * comb(rows - wrong, drawn - x) / comb(rows, drawn)


def test_large_strata_are_no_easier_to_certify_than_small_ones() -> None:
    """Above 2,000 splits they are taken in steps: the steps must not lose the worst split."""
    small = p_value([Stratum(1900, 100, 1), Stratum(1900, 100, 8)], 380)
    large = p_value([Stratum(190_000, 100, 1), Stratum(190_000, 100, 8)], 38_000)
    assert small <= large <= small * 1.3


def test_zero_wrong_rows_are_enough_from_fewest_draws_on() -> None:
    assert fewest_draws(0.05, 0.05) == 59
    rows = 10**7
    least = rows // 20 + 1
    assert p_value([Stratum(rows, 59, 0)], least) <= 0.05 < p_value([Stratum(rows, 58, 0)], least)


def test_draws_never_spend_more_than_alpha_together() -> None:
    assert sum(alpha_share(0.05, draw) for draw in range(1, 60)) <= 0.05 + 1e-12


def test_what_is_allowed_is_counted_of_the_kept_or_of_all_rows() -> None:
    rows = np.array([10, 60, 100])
    assert wrong_allowed(rows, 100, 0.05, "kept").tolist() == [0, 3, 5]
    assert wrong_allowed(rows, 100, 0.05, "whole").tolist() == [5, 5, 5]


def test_nothing_is_certified_behind_the_first_failure() -> None:
    """The last level would pass by itself, and must not be looked at."""
    levels = np.repeat([0, 1, 2], 40)
    wrong = np.zeros(120, bool)
    wrong[40:60] = True
    rows = np.array([100, 200, 1000])
    draw = Draw(levels, wrong)
    level, p_values = fixed_sequence(draw, rows, np.array([10, 20, 300]), -1, (0, 1, 2), 0.05)
    assert level == 0
    assert len(p_values) == 2


@pytest.mark.parametrize("guarantee", ["kept", "whole"])
def test_a_false_level_is_certified_in_at_most_alpha_of_the_draws(guarantee: str) -> None:
    """A model whose errors lie where it is surest, so that early levels are the false ones."""
    rng = np.random.default_rng(3)
    wrong = rng.random(1000) < np.linspace(0.16, 0.02, 1000)
    rows = np.arange(100, 1001, 100)
    allowed = wrong_allowed(rows, 1000, 0.1, guarantee)  # type: ignore[arg-type]
    is_false = np.cumsum(wrong)[rows - 1] > allowed
    failures = 0
    for _ in range(300):
        drawn = np.concatenate([rng.choice(500, 60, False), 500 + rng.choice(500, 90, False)])
        draw = Draw(drawn // 100, wrong[drawn])
        level, _ = fixed_sequence(draw, rows, allowed, 4, range(2, 10), 0.1)
        failures += level is not None and bool(is_false[level])
    assert failures <= 0.1 * 300 + 3 * np.sqrt(300 * 0.1 * 0.9)


def test_rows_needed_are_none_where_too_many_are_wrong() -> None:
    assert rows_needed(0.2, 0.1, 0.05) is None
    few, many = rows_needed(0.01, 0.1, 0.05), rows_needed(0.08, 0.1, 0.05)
    assert few is not None
    assert many is not None
    assert 20 < few < 100 < many
