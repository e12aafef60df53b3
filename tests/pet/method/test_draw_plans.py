"""Plans: where the model can be trusted it is drawn from, and the draw is dense where it errs."""

from __future__ import annotations

import numpy as np

from pet.method.certification import wrong_allowed
from pet.method.draw_plans import error_curves, expected_rows, plan_draw

ROWS = np.arange(50, 5001, 50)
CLAIMS = np.linspace(0.001, 0.6, 100)
NOTHING = (np.array([]), np.array([], bool))


def allowed(error: float) -> np.ndarray:
    return wrong_allowed(ROWS, 5000, error, "kept")


def test_without_answers_the_curves_are_around_the_claims() -> None:
    curves = error_curves(CLAIMS, *NOTHING)
    assert curves.shape == (25, 100)
    np.testing.assert_allclose(np.median(curves, axis=0), CLAIMS, rtol=0.02)


def test_known_answers_correct_a_model_that_doubts_too_much() -> None:
    """Claims of 40 % where 2 % are wrong: the frame would end far too early."""
    known = np.full(300, 0.4)
    curves = error_curves(CLAIMS, known, np.arange(300) < 6)
    assert np.all(curves[:, np.searchsorted(CLAIMS, 0.4)] < 0.1)


def test_many_answers_leave_some_doubt() -> None:
    """A plan that is sure of a curve ends its frame too early, and more answers certify less."""
    known = np.repeat(CLAIMS, 400)
    curves = error_curves(CLAIMS, known, np.random.default_rng(0).random(len(known)) < known)
    low, high = curves.min(axis=0), curves.max(axis=0)
    assert np.all(high > 1.5 * low)


def test_a_frame_ends_where_the_model_errs_too_often() -> None:
    curves = error_curves(CLAIMS, np.repeat(CLAIMS, 20), _as_claimed())
    plan = plan_draw(ROWS, curves, allowed(0.05), 300, 0.05)
    assert plan is not None
    truth = np.cumsum(CLAIMS) / np.arange(1, 101)
    assert 0.02 < truth[plan.last] < 0.08
    assert plan.sequence[-1] == plan.last
    assert list(plan.sequence) == sorted(plan.sequence)
    assert sum(plan.draws) == 300


def _as_claimed() -> np.ndarray:
    return np.random.default_rng(0).random(2000) < np.repeat(CLAIMS, 20)


def test_the_surest_rows_are_drawn_from_more_thinly() -> None:
    curves = np.linspace(0.0, 0.12, 100)[None]
    plan = plan_draw(ROWS, curves, allowed(0.05), 300, 0.05)
    assert plan is not None
    assert plan.border >= 0
    of_first = ROWS[plan.border] / ROWS[plan.last]
    assert plan.draws[0] / 300 < of_first


def test_no_plan_where_every_level_has_too_many_errors() -> None:
    assert plan_draw(ROWS, np.full((1, 100), 0.3), allowed(0.05), 300, 0.05) is None


def test_more_answers_are_expected_to_certify_more() -> None:
    curves = error_curves(CLAIMS, *NOTHING)
    few, many = (expected_rows(ROWS, curves, allowed(0.1), n, 0.05) for n in (60, 600))
    assert 0 < few < many <= 5000
