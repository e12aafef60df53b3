"""Figures of several labels a text, held against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.metrics import log_loss as sklearn_log_loss

from pet.method.label_metrics import (
    better_by_f1,
    certainty,
    co_occurrence,
    confidence_of,
    label_errors,
    label_table,
    set_coverage,
    set_metrics,
    set_reliability,
    sets_above,
)

RNG = np.random.default_rng(0)
TRUTH = RNG.random((200, 4)) < [0.5, 0.3, 0.1, 0.02]
PROBABILITIES = np.clip(0.6 * TRUTH + 0.4 * RNG.random(TRUTH.shape), 0.01, 0.99)
CHOSEN = PROBABILITIES >= 0.45


def test_figures_are_scikit_learns() -> None:
    found = set_metrics(PROBABILITIES, TRUTH, CHOSEN)
    assert found["accuracy"] == pytest.approx(accuracy_score(TRUTH, CHOSEN), abs=1e-4)
    assert found["micro_f1"] == pytest.approx(f1_score(TRUTH, CHOSEN, average="micro"), abs=1e-4)
    assert found["macro_f1"] == pytest.approx(f1_score(TRUTH, CHOSEN, average="macro"), abs=1e-4)
    each = [sklearn_log_loss(TRUTH[:, i], PROBABILITIES[:, i]) for i in range(4)]
    assert found["log_loss"] == pytest.approx(np.mean(each), abs=1e-4)


def test_each_label_has_its_own_figures() -> None:
    table = label_table(PROBABILITIES, TRUTH, CHOSEN, [0.45] * 4)
    precisions = precision_score(TRUTH, CHOSEN, average=None)
    recalls = recall_score(TRUTH, CHOSEN, average=None)
    for own, precision, recall in zip(table, precisions, recalls, strict=True):
        assert own["precision"] == pytest.approx(precision, abs=1e-4)
        assert own["recall"] == pytest.approx(recall, abs=1e-4)


def test_a_label_that_is_nowhere_has_no_precision_and_is_no_error() -> None:
    nothing = np.zeros((5, 1), bool)
    (own,) = label_table(np.full((5, 1), 0.01), nothing, nothing, [0.5])
    assert own["precision"] is None
    assert own["recall"] is None
    assert own["f1"] == 1.0


def test_calibrated_probabilities_have_a_small_error_and_constant_ones_the_gap() -> None:
    p = RNG.random((20_000, 1))
    assert label_errors(p, RNG.random(p.shape) < p)[0] < 0.02
    assert label_errors(np.full((100, 1), 0.9), np.zeros((100, 1), bool))[0] == pytest.approx(0.9)


def test_confidence_is_the_chance_that_all_answers_are_right() -> None:
    p, chosen = np.array([[0.9, 0.2]]), np.array([[True, False]])
    assert confidence_of(p, chosen)[0] == pytest.approx(0.9 * 0.8)
    assert certainty(p, np.array([[False, True]]))[0].tolist() == pytest.approx([0.1, 0.2])


def test_coverage_keeps_the_surest_rows_and_bins_hold_every_answer() -> None:
    curve = set_coverage(PROBABILITIES, TRUTH, CHOSEN, (0.5, 1.0))
    assert curve[0]["threshold"] > curve[1]["threshold"]
    assert curve[1]["accuracy"] == set_metrics(PROBABILITIES, TRUTH, CHOSEN)["accuracy"]
    assert sum(part["rows"] for part in set_reliability(PROBABILITIES, TRUTH)) == TRUTH.size
    own = sets_above(PROBABILITIES, TRUTH, CHOSEN, 0.99)
    assert own["coverage"] == 0
    assert own["accuracy"] is None


def test_rows_with_two_labels_are_counted_for_both() -> None:
    assert co_occurrence(np.array([[1, 1], [1, 0], [0, 0]], bool)).tolist() == [[2, 1], [1, 1]]


def test_a_model_is_better_only_beyond_chance() -> None:
    worse = TRUTH.copy()
    worse[:40] = ~worse[:40]
    assert better_by_f1(TRUTH, TRUTH, worse) == "micro_f1"
    assert better_by_f1(TRUTH, worse, TRUTH) is None
    assert better_by_f1(TRUTH, CHOSEN, CHOSEN) is None
