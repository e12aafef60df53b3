"""How far rules are believed, checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.ensembling import softmax
from pet.method.rule_reliability import (
    MOST_SURE,
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


def test_agreement_tells_a_good_rule_from_one_that_fires_anywhere_or_nowhere() -> None:
    anywhere = RNG.random(600) < 0.3
    fires = firing(TRUTH == 1, anywhere, np.zeros(600, bool))
    found = agreement_with(softmax(LOGITS), fires, np.array([1, 1, 1]))
    assert found[0] > 0.75
    assert found[1] == pytest.approx(1 / 3, abs=0.1)
    assert np.isnan(found[2])


def test_members_that_know_nothing_say_nothing_of_a_rule() -> None:
    assert np.isnan(agreement_with(np.full((4, 2), 0.5), np.ones((4, 1), bool), np.array([0]))[0])


def test_precision_goes_from_what_is_expected_to_what_is_counted() -> None:
    unknown = np.array([np.nan])
    of = lambda right, fired: expected_precision(np.array([right]), np.array([fired]), unknown)[0]  # noqa: E731
    assert of(0, 0) == pytest.approx(0.9)
    assert of(1, 2) == pytest.approx((1 + 1.8) / 4)
    assert of(1000, 1000) == MOST_SURE
    assert of(0, 100) < 0.02


def test_what_a_rule_adds_makes_its_label_as_likely_as_it_is_expected_to_be() -> None:
    fires = firing(RNG.random(600) < 0.2)
    labels = np.array([2])
    added = added_log_odds(LOGITS, fires, labels, np.array([0.8]))
    raised = softmax(LOGITS + evidence(fires, labels, added, 3))
    assert raised[fires[:, 0], 2].mean() == pytest.approx(0.8, abs=1e-6)
    np.testing.assert_array_equal(raised[~fires[:, 0]], softmax(LOGITS)[~fires[:, 0]])


def test_a_rule_adds_nothing_where_members_are_surer_and_where_it_never_fires() -> None:
    sure = 20 * np.eye(3)[TRUTH]
    fires = firing(TRUTH == 0, np.zeros(600, bool))
    assert added_log_odds(sure, fires, np.array([0, 1]), np.array([0.9, 0.9])).tolist() == [0, 0]


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
