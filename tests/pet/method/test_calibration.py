"""Priors, temperatures, offsets and shares, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest

from pet.config import Prior
from pet.method.calibration import (
    Scaling,
    calibration_offset,
    fit_scaling,
    fit_share,
    fit_temperature,
    negative_log_likelihood,
)
from pet.method.ensembling import softmax


@pytest.mark.parametrize("prior", ["content-free", "pool", "matched", "half-matched"])
def test_a_prior_that_is_the_same_for_every_text_is_taken_out_whole(prior: Any) -> None:
    # Every text is said to be label 0 with probability 0.8: after the offset, none is preferred.
    logits = np.log(np.tile([0.8, 0.2], (100_000, 1)))
    offset = calibration_offset(logits, prior)
    assert offset == pytest.approx([-math.log(4) / 2, math.log(4) / 2], abs=1e-3)


@pytest.mark.parametrize("prior", ["pool", "matched", "half-matched"])
def test_a_pool_of_one_text_does_not_take_out_what_the_text_says(prior: Any) -> None:
    logits = np.array([[2.0, 0.0]])
    offset = calibration_offset(logits, prior)
    assert offset[1] - offset[0] == pytest.approx(2 / 11)
    assert softmax(logits + offset)[0, 0] > 0.85


def test_texts_without_content_are_a_prior_however_few_they_are() -> None:
    logits = np.array([[2.0, 0.0]])
    assert softmax(logits + calibration_offset(logits, "content-free"))[0, 0] == pytest.approx(0.5)


def test_no_prior_adds_nothing() -> None:
    assert calibration_offset(np.array([[1.0, 0.0]]), "none").tolist() == [0, 0]


def test_a_matched_prior_leaves_no_label_ahead_where_the_mean_does() -> None:
    # One text of three is certain to be label 1. The mean probability of label 0 is 0.6: an offset
    # of log(0.4 / 0.6) between the two leaves it at 6 : 1 for the others, and at 0.57 on the whole.
    logits = np.log(np.tile([[0.9, 0.1], [0.9, 0.1], [1e-9, 1.0]], (100_000, 1)))
    pool = calibration_offset(logits, "pool")
    assert pool[1] - pool[0] == pytest.approx(math.log(0.6 / 0.4), abs=1e-4)
    assert softmax(logits + pool).mean(axis=0)[0] == pytest.approx(2 / 3 * 6 / 7, abs=1e-4)
    matched = calibration_offset(logits, "matched")
    assert softmax(logits + matched).mean(axis=0) == pytest.approx([0.5, 0.5], abs=1e-5)
    # Even on the whole: the two texts are label 0 with 0.75, so 9 : 1 has become 3 : 1.
    assert matched[1] - matched[0] == pytest.approx(math.log(3), abs=1e-4)
    half = calibration_offset(logits, "half-matched")
    assert half == pytest.approx((pool + matched) / 2)


def test_a_label_that_is_never_said_has_a_finite_offset() -> None:
    logits = np.array([[0.0, -1000.0], [0.0, -1000.0]])
    for prior in ("pool", "matched", "half-matched"):
        assert np.isfinite(calibration_offset(logits, prior)).all()


def test_scores_are_divided_first_and_then_moved() -> None:
    scaling = Scaling(2.0, (0.5, -0.5))
    # Gaps of 3 / 2 + 1 = 2.5.
    assert scaling.of(np.array([[3.0, 0.0]])).tolist() == [[2.0, -0.5]]
    said = scaling.probabilities(np.array([[3.0, 0.0]]))
    assert said[0, 0] == pytest.approx(1 / (1 + math.exp(-2.5)))


def test_scores_that_were_taught_softly_become_as_sure_as_they_were_and_no_surer() -> None:
    # Gaps of 4: at T = 4 the gap is 1, and softmax gives e / (e + 1).
    logits, confidence = np.tile([4.0, 0.0], (10, 1)), math.e / (math.e + 1)
    plain = (0.0, 0.0)
    assert Scaling(8.0, plain).no_less_confident(logits, confidence).temperature == pytest.approx(
        4, rel=0.02
    )
    assert Scaling(2.0, plain).no_less_confident(logits, confidence) == Scaling(2.0, plain)


def test_offsets_keep_their_place_while_the_temperature_falls() -> None:
    # Gaps of 4 / T + 1: at T = 4 the gap is 2.
    logits, offsets = np.tile([4.0, 0.0], (10, 1)), (0.5, -0.5)
    found = Scaling(9.0, offsets).no_less_confident(logits, 1 / (1 + math.exp(-2)))
    assert found.temperature == pytest.approx(4, rel=0.02)
    assert found.offsets == offsets


def test_a_label_that_is_said_too_often_is_said_less() -> None:
    """Every row's scores lean to label 0 by 2; half of the rows are label 1."""
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    logits = 3.0 * np.eye(2)[labels] + rng.normal(size=(200, 2)) + [2.0, 0.0]
    before = (logits.argmax(axis=1) == labels).mean()
    scaling = fit_scaling(logits, labels)
    after = (scaling.of(logits).argmax(axis=1) == labels).mean()
    assert sum(scaling.offsets) == pytest.approx(0)
    assert scaling.offsets[0] < -0.3
    assert after > before


def test_temperature_and_offsets_are_the_likeliest_ones() -> None:
    """No step away from them, in any direction, makes rows and priors likelier."""
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=40)
    logits = 2.0 * np.eye(3)[labels] + rng.normal(size=(40, 3))

    def unlikely(scaling: Scaling) -> float:
        said = scaling.probabilities(logits)[np.arange(40), labels]
        expected = 4.0 * math.log(scaling.temperature) ** 2 / 2
        offsets = sum((offset / 0.5) ** 2 / 2 for offset in scaling.offsets)
        return float(expected + offsets - np.log(said).sum())

    best = fit_scaling(logits, labels)
    for place in range(4):
        for step in (-0.02, 0.02):
            moved, temperature = np.array(best.offsets), best.temperature
            if place == 3:
                temperature += step
            else:  # to the other labels' cost: offsets are of mean zero
                moved += step * (np.eye(3)[place] - 1 / 3)
            assert unlikely(Scaling(temperature, tuple(moved))) > unlikely(best)


def test_a_handful_of_rows_moves_no_label_far() -> None:
    """Eight of nine rows are of one label: without a prior it would be ahead by log 8 at once."""
    logits = np.zeros((9, 2))
    scaling = fit_scaling(logits, np.arange(9) // 8)
    assert 0.1 < scaling.offsets[0] < math.log(8) / 4


def test_a_label_without_a_row_is_not_held_to_be_rare() -> None:
    """Of twenty rows none is label 2: it is known by its words alone, and keeps what they say."""
    rng = np.random.default_rng(0)
    labels = np.arange(20) % 2
    logits = 2.0 * np.eye(3)[labels] + rng.normal(size=(20, 3))
    offsets = fit_scaling(logits, labels).offsets
    assert offsets[2] == 0
    assert offsets[0] == pytest.approx(-offsets[1])


def test_no_rows_at_all_scale_nothing() -> None:
    found = fit_scaling(np.zeros((0, 3)), np.zeros(0, int))
    assert found.temperature == pytest.approx(1)
    assert found.offsets == pytest.approx((0, 0, 0))
    found = fit_scaling(np.zeros((0, 3)), np.zeros(0, int), expected=0.7)
    assert found.temperature == pytest.approx(0.7, rel=0.01)


def test_a_calibration_temperature_above_one_is_found_for_an_overconfident_model() -> None:
    # 1000 rows of logits [4, 0] of which 731 are right: the calibrated gap is 1, so T is 4.
    logits = np.tile([4.0, 0.0], (1000, 1))
    labels = (np.arange(1000) >= 731).astype(int)
    assert fit_temperature(logits, labels) == pytest.approx(4, rel=0.05)


def test_a_handful_of_rows_cannot_drive_the_temperature_to_an_end() -> None:
    """Three rows that are all right have their best likelihood at T = 0."""
    logits = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert 0.3 < fit_temperature(logits, np.zeros(3, int)) < 1
    assert 1 < fit_temperature(logits, np.ones(3, int)) < 5


def test_no_rows_at_all_leave_the_temperature_at_what_is_expected() -> None:
    nothing = np.zeros((0, 3)), np.zeros(0, int)
    assert fit_temperature(*nothing) == pytest.approx(1)
    assert fit_temperature(*nothing, expected=3.0) == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize("right", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("sure", [0.05, 2.0, 40.0])
def test_the_search_for_a_temperature_ends_in_no_worse_place_than_a_fine_grid(
    right: float, sure: float
) -> None:
    """Where logits are tiny or huge, the loss has more than one slope."""
    labels, logits = scores_of(60, right, sure, np.random.default_rng(0))

    def loss(temperature: float) -> float:
        unlikely = 4 * math.log(temperature) ** 2 / 2
        return negative_log_likelihood(softmax(logits, temperature), labels) + unlikely

    grid = np.exp(np.arange(-115, 171) / 50)
    assert loss(fit_temperature(logits, labels)) <= min(map(loss, grid)) + 1e-3


def scores_of(rows: int, right: float, sure: float, rng: np.random.Generator) -> Any:
    """Labels, and the logits of somebody who is right about so many of them."""
    labels = np.arange(rows) % 3
    said = np.where(rng.random(rows) < right, labels, (labels + 1) % 3)
    return labels, sure * np.eye(3)[said] + 0.3 * rng.normal(size=(rows, 3))


@pytest.mark.parametrize(("first", "second"), [(0.95, 0.4), (0.4, 0.95)])
def test_the_predictor_that_knows_more_gets_the_larger_share(first: float, second: float) -> None:
    rng = np.random.default_rng(0)
    labels, one = scores_of(60, first, 2.0, rng)
    _, other = scores_of(60, second, 2.0, rng)
    share = fit_share(np.stack([one, other]), labels)
    assert (share > 0.7) if second > first else (share < 0.3)


def test_few_rows_leave_two_predictors_alike() -> None:
    """Both are right about four rows, and of no row is it known who of them is better."""
    labels = np.array([0, 1, 2, 0])
    logits = 2.0 * np.eye(3)[labels]
    assert fit_share(np.stack([logits, logits]), labels) == pytest.approx(0.5, abs=0.051)


@pytest.mark.parametrize("prior", ["pool", "matched", "half-matched"])
def test_known_shares_stand_in_the_place_of_even_ones(prior: Prior) -> None:
    logits = np.random.default_rng(0).normal(size=(5000, 3)) * 0.1 + np.array([2.0, 0.0, -1.0])
    shares = (0.6, 0.3, 0.1)
    found = softmax(logits + calibration_offset(logits, prior, shares)).mean(axis=0)
    np.testing.assert_allclose(found, shares, atol=0.02)


def test_even_shares_that_are_stated_change_nothing() -> None:
    logits = np.random.default_rng(1).normal(size=(200, 4)) + np.array([1.0, 0.0, 0.0, -2.0])
    for prior in get_args(Prior):
        stated = calibration_offset(logits, prior, (0.25,) * 4)
        np.testing.assert_allclose(stated, calibration_offset(logits, prior), atol=1e-9)


def test_a_scaling_is_shifted_to_the_shares_and_keeps_its_temperature() -> None:
    logits = np.random.default_rng(2).normal(size=(500, 3))
    found = Scaling(0.5, (1.0, 0.0, -1.0)).matched(logits, (0.2, 0.2, 0.6))
    np.testing.assert_allclose(found.probabilities(logits).mean(axis=0), (0.2, 0.2, 0.6), atol=1e-4)
    assert found.temperature == 0.5
    assert sum(found.offsets) == pytest.approx(0)
