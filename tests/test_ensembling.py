"""Combining members, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pet.ensembling import (
    agreement,
    agreement_weights,
    combine,
    entropy,
    fit_share,
    fit_temperature,
    folds_of,
    match_confidence,
    soft_labels,
    softmax,
)

# Two members, two rows, two labels.
LOGITS = np.array([[[2.0, 0.0], [0.0, 4.0]], [[0.0, 1.0], [3.0, 1.0]]], dtype=np.float32)


def test_softmax_divides_by_the_temperature() -> None:
    # exp(2/2) : exp(0) = e : 1; multiplying by 2 would give e^4 : 1.
    e = math.e
    np.testing.assert_allclose(softmax(np.array([2.0, 0.0]), 2.0), [e / (e + 1), 1 / (e + 1)])


def test_softmax_of_huge_logits_stays_a_number() -> None:
    np.testing.assert_allclose(softmax(np.array([1e4, 0.0, -1e4])), [1, 0, 0])


def test_softmax_works_over_the_last_axis_of_any_shape() -> None:
    assert softmax(LOGITS).shape == LOGITS.shape
    np.testing.assert_allclose(softmax(LOGITS).sum(-1), 1)


def test_members_are_combined_by_the_weighted_mean_of_logits() -> None:
    # Weights 3 and 1: row 0 is (3*[2,0] + [0,1]) / 4 = [1.5, 0.25], a gap of 1.25;
    # row 1 is (3*[0,4] + [3,1]) / 4 = [0.75, 3.25], a gap of -2.5.
    together = combine(LOGITS, [3, 1])
    np.testing.assert_allclose(together[:, 0] - together[:, 1], [1.25, -2.5])


def test_weights_need_not_sum_to_one() -> None:
    np.testing.assert_allclose(combine(LOGITS, [3, 1]), combine(LOGITS, [0.75, 0.25]))


def test_weights_of_zero_count_every_member_alike() -> None:
    """A zero-shot accuracy of 0 everywhere would otherwise divide by zero."""
    np.testing.assert_allclose(combine(LOGITS, [0, 0]), combine(LOGITS, [1, 1]))


def test_a_member_of_weight_zero_has_no_say() -> None:
    np.testing.assert_allclose(softmax(combine(LOGITS, [1, 0])), softmax(LOGITS[0]))


def test_a_row_is_combined_of_those_who_are_heard_on_it() -> None:
    heard = np.array([[True, False], [True, True]])
    together = combine(LOGITS, [3, 1], heard)
    np.testing.assert_allclose(together[:, 0] - together[:, 1], [1.25, 2.0])
    alike = combine(LOGITS, [3, 0], heard)  # row 1 is heard of a member of weight zero only
    np.testing.assert_allclose(alike[1, 0] - alike[1, 1], 2.0)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0]])
def test_wrong_weights_are_our_own_mistake(weights: list[float]) -> None:
    with pytest.raises(AssertionError, match="weight"):
        combine(LOGITS, weights)


def test_soft_labels_are_the_combined_logits_at_temperature_two() -> None:
    # Uniform weights: row 0 gaps (2 - 1) / 2 = 0.5, halved 0.25; row 1 (-4 + 2) / 2 = -1, -0.5.
    soft = soft_labels(LOGITS, [1, 1], temperature=2.0)
    expected = [1 / (1 + math.exp(-0.25)), 1 / (1 + math.exp(0.5))]
    np.testing.assert_allclose(soft[:, 0], expected)
    np.testing.assert_allclose(soft.sum(1), 1)


def test_agreement_is_the_share_of_members_with_the_label() -> None:
    # Row 0: members say 0 and 1; row 1: they say 1 and 0.
    votes = LOGITS.argmax(axis=-1)
    np.testing.assert_allclose(agreement(votes, np.array([0, 1])), [0.5, 0.5])
    np.testing.assert_allclose(agreement(votes[:1], np.array([0, 0])), [1.0, 0.0])


def said(*votes: str) -> np.ndarray:
    """Logits of members that are sure of one label a row: "0011" for four rows."""
    return np.stack([10 * np.eye(2)[[int(vote) for vote in row]] for row in votes])


def test_a_member_that_contradicts_all_others_weighs_nothing() -> None:
    weights = agreement_weights(said("00110011", "00110011", "00110011", "11001100"))
    assert weights[3] == 0
    assert weights[:3] == [1, 1, 1]


def test_weights_by_agreement_are_cohens_kappa_with_the_others() -> None:
    # Member 2 agrees with the two others on 6 of 8 rows; both say each label 4 times, so chance
    # is 1/2 and kappa (0.75 - 0.5) / (1 - 0.5).
    weights = agreement_weights(said("00001111", "00001111", "00011110"))
    assert weights[2] == pytest.approx(0.5)


def test_a_member_that_always_says_the_commonest_label_weighs_nothing() -> None:
    """It agrees with the others on nine rows of ten, without having read any."""
    weights = agreement_weights(said("0000000001", "0000000001", "0000000000"))
    assert weights[2] == pytest.approx(0)


def test_two_members_cannot_outvote_each_other() -> None:
    assert agreement_weights(said("0011", "1100")) == [1, 1]
    assert agreement_weights(said("0011")) == [1]


def test_entropy_runs_from_zero_to_the_log_of_the_labels() -> None:
    found = entropy(np.array([[1.0, 0.0, 0.0], [1 / 3] * 3, [0.5, 0.5, 0.0]]))
    np.testing.assert_allclose(found, [0, math.log(3), math.log(2)], atol=1e-9)


def test_a_calibration_temperature_above_one_is_found_for_an_overconfident_model() -> None:
    # 1000 rows of logits [4, 0] of which 731 are right: the honest gap is 1, so T is 4.
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


def test_a_temperature_that_matches_a_confidence_is_found() -> None:
    # Gaps of 4: at T = 4 the gap is 1, and softmax gives e / (e + 1).
    logits = np.tile([4.0, 0.0], (10, 1))
    assert match_confidence(logits, math.e / (math.e + 1)) == pytest.approx(4, rel=0.02)


def test_folds_hold_every_label_evenly() -> None:
    labels = np.repeat([0, 1, 2], [10, 5, 5])
    folds = folds_of(labels, 5, np.random.default_rng(0))
    for fold in range(5):
        assert np.bincount(labels[folds == fold], minlength=3).tolist() == [2, 1, 1]


def voices_of(rows: int, right: float, sure: float, rng: np.random.Generator) -> Any:
    """Labels, and the logits of somebody who is right about so many of them."""
    labels = np.arange(rows) % 3
    said = np.where(rng.random(rows) < right, labels, (labels + 1) % 3)
    return labels, sure * np.eye(3)[said] + 0.3 * rng.normal(size=(rows, 3))


@pytest.mark.parametrize(("first", "second"), [(0.95, 0.4), (0.4, 0.95)])
def test_the_voice_that_knows_more_gets_the_larger_share(first: float, second: float) -> None:
    rng = np.random.default_rng(0)
    labels, one = voices_of(60, first, 2.0, rng)
    _, other = voices_of(60, second, 2.0, rng)
    share = fit_share(np.stack([one, other]), labels)
    assert (share > 0.7) if second > first else (share < 0.3)


def test_few_rows_leave_two_voices_alike() -> None:
    """Both are right about four rows, and of no row is it known who of them is better."""
    labels = np.array([0, 1, 2, 0])
    logits = 2.0 * np.eye(3)[labels]
    assert fit_share(np.stack([logits, logits]), labels) == pytest.approx(0.5, abs=0.051)
