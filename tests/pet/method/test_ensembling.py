"""Combining members, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pet.method.ensembling import agreement, agreement_weights, combine, entropy, folds_of, softmax

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


def test_a_row_is_combined_of_the_members_that_scored_it() -> None:
    scored = np.array([[True, False], [True, True]])
    together = combine(LOGITS, [3, 1], scored)
    np.testing.assert_allclose(together[:, 0] - together[:, 1], [1.25, 2.0])
    alike = combine(LOGITS, [3, 0], scored)  # row 1 is scored by a member of weight zero only
    np.testing.assert_allclose(alike[1, 0] - alike[1, 1], 2.0)


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0]])
def test_wrong_weights_are_our_own_mistake(weights: list[float]) -> None:
    with pytest.raises(AssertionError, match="weight"):
        combine(LOGITS, weights)


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


def test_folds_hold_every_label_evenly() -> None:
    labels = np.repeat([0, 1, 2], [10, 5, 5])
    folds = folds_of(labels, 5, np.random.default_rng(0))
    for fold in range(5):
        assert np.bincount(labels[folds == fold], minlength=3).tolist() == [2, 1, 1]
