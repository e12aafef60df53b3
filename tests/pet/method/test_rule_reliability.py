"""How far rules are believed, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.ensembling import softmax
from pet.method.rule_reliability import (
    CONFIRMED,
    MOST_SURE,
    Agreement,
    Firing,
    added_log_odds,
    agreement_with,
    evidence,
    expected_precision,
    firing_of,
)

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 600)
LOGITS = RNG.normal(size=(600, 3)) + 1.5 * np.eye(3)[TRUTH]


def firing(*of: np.ndarray) -> np.ndarray:
    return np.stack(of, axis=1)


SURE = np.full(3, 0.8)
UNKNOWN = Agreement(np.array([np.nan]), np.array([np.nan]))


def test_agreement_tells_a_good_rule_from_one_that_fires_anywhere_or_nowhere() -> None:
    anywhere = RNG.random(600) < 0.3
    fires = firing(TRUTH == 1, anywhere, np.zeros(600, bool), TRUTH == 2)
    found = agreement_with(softmax(LOGITS), fires, np.array([1, 1, 1, 1]), SURE)
    assert found.share[0] > 0.7
    assert found.share[1] == pytest.approx(1 / 3, abs=0.1)
    assert found.kappa[1] == pytest.approx(0, abs=0.1)
    assert np.isnan(found.share[2])
    assert found.share[3] < 0.25, "members contradict it"
    assert found.kappa[3] < 0


def test_members_that_know_nothing_say_nothing_of_a_rule() -> None:
    even = np.full((4, 2), 0.5)
    found = agreement_with(even, np.ones((4, 1), bool), np.array([0]), np.full(2, 0.5))
    assert np.isnan(found.share[0])


def precision(right: int, fired: int, agreement: Agreement = UNKNOWN) -> float:
    return float(expected_precision(np.array([right]), np.array([fired]), agreement)[0])


def test_precision_goes_from_what_is_expected_to_what_is_counted() -> None:
    assert precision(0, 0) == pytest.approx(0.9)
    assert precision(1, 2) == pytest.approx((1 + 1.8) / 4)
    assert precision(1000, 1000) == MOST_SURE
    assert precision(0, 100) < 0.02


def test_a_rule_that_members_contradict_is_believed_no_more_than_they_believe_it() -> None:
    """That a person wrote it made .3 of .1, however sure the members were."""
    contradicted = Agreement(np.array([0.1]), np.array([-0.2]))
    assert precision(0, 0, contradicted) == pytest.approx(0.1)
    confirmed = Agreement(np.array([0.7]), np.array([CONFIRMED]))
    assert precision(0, 0, confirmed) == pytest.approx((1.8 + 3.5) / 7)
    doubtful = Agreement(np.array([0.4]), np.array([CONFIRMED / 2]))
    assert precision(0, 0, doubtful) == pytest.approx((0.9 + 2.0) / 6)
    assert precision(0, 0, confirmed.lower(contradicted)) == pytest.approx(0.1)
    assert precision(0, 0, confirmed.lower(UNKNOWN)) == precision(0, 0, confirmed)


def test_what_a_rule_adds_makes_its_label_as_likely_as_it_is_expected_to_be() -> None:
    fires = firing(RNG.random(600) < 0.2)
    labels = np.array([2])
    added = added_log_odds(softmax(LOGITS), fires, labels, np.array([0.8]))
    raised = softmax(LOGITS + evidence(fires, labels, added, 3))
    assert raised[fires[:, 0], 2].mean() == pytest.approx(0.8, abs=1e-6)
    np.testing.assert_array_equal(raised[~fires[:, 0]], softmax(LOGITS)[~fires[:, 0]])


def test_a_rule_adds_nothing_where_members_are_surer_and_where_it_never_fires() -> None:
    sure = 20 * np.eye(3)[TRUTH]
    fires = firing(TRUTH == 0, np.zeros(600, bool))
    assert added_log_odds(
        softmax(sure), fires, np.array([0, 1]), np.array([0.9, 0.9])
    ).tolist() == [0, 0]


def test_evidence_of_rules_in_one_row_is_summed_by_label() -> None:
    fires = np.array([[True, True, True], [False, False, False]])
    found = evidence(fires, np.array([0, 0, 2]), [1.0, 0.5, 2.0], 3)
    np.testing.assert_array_equal(found, [[1.5, 0, 2], [0, 0, 0]])


def test_overlap_and_conflict_are_shares_of_all_rows() -> None:
    fires = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 1], [0, 0, 0]], bool)
    assert firing_of(fires, np.array([0, 0, 1])) == [
        Firing(0.5, 0.5, 0.25),
        Firing(0.25, 0.25, 0),
        Firing(0.5, 0.25, 0.25),
    ]
    assert firing_of(fires[:0], np.array([0, 0, 1]))[0] == Firing(0, 0, 0)
