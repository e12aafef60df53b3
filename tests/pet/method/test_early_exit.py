"""Thresholds of early exit, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.early_exit import (
    LEAST_ROWS,
    MOST_LOST,
    NEVER,
    choose_threshold,
    exit_figures,
    first_exit,
)

CONFIDENCE = np.array([[0.9, 0.4, 0.6], [0.2, 0.95, 0.7]])


def test_a_row_leaves_at_the_first_exit_that_is_sure() -> None:
    assert first_exit(CONFIDENCE, 0.9).tolist() == [0, 1, 2]
    assert first_exit(CONFIDENCE, 0.6).tolist() == [0, 1, 0]
    assert first_exit(CONFIDENCE, NEVER).tolist() == [2, 2, 2]


def test_agreement_counts_the_exit_that_a_row_leaves_by() -> None:
    alike = np.array([[False, False, True], [True, True, False]])
    found = exit_figures(CONFIDENCE, alike, 0.6)
    assert found.agreement == pytest.approx(2 / 3)
    assert found.layers == pytest.approx([2 / 3, 1 / 3, 0])
    never = exit_figures(CONFIDENCE, alike, NEVER)
    assert never.agreement == 1, "the last layer agrees with itself"


def test_as_many_rows_leave_as_may_change() -> None:
    rows = 1000
    confidence = np.linspace(0, 1, rows)[None]
    alike = np.ones((1, rows), np.bool_)
    alike[0, : rows // 2] = False  # whoever is less sure than one half is wrong
    threshold = choose_threshold(confidence, alike)
    found = exit_figures(confidence, alike, threshold)
    assert 1 - MOST_LOST <= found.agreement < 1
    assert 0.48 < threshold < 0.5


def test_a_threshold_above_a_bad_one_is_no_way_around_it() -> None:
    """The surest rows are wrong: those below them cannot leave without them."""
    confidence = np.linspace(0, 1, 1000)[None]
    alike = np.ones((1, 1000), np.bool_)
    alike[0, -20:] = False
    chosen = choose_threshold(confidence, alike)
    assert exit_figures(confidence, alike, chosen).agreement >= 1 - MOST_LOST


def test_no_row_leaves_where_few_rows_could_have_told() -> None:
    confidence = np.full((1, LEAST_ROWS - 1), 0.99)
    assert choose_threshold(confidence, confidence > 0) == NEVER
