"""Measures, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.metrics import (
    above,
    accuracy,
    beats_commonest,
    compare,
    confusion_matrix,
    coverage_curve,
    expected_calibration_error,
    macro_f1,
    metrics,
    reliability,
    surely_beats_commonest,
    wilson_interval,
)

TRUTH = np.array([0, 0, 0, 1, 1, 2])
SAID = np.array([0, 0, 1, 1, 0, 2])


def test_rows_of_the_confusion_matrix_are_true_labels() -> None:
    assert confusion_matrix(TRUTH, SAID, 3).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_who_is_right_less_often_than_the_commonest_label_does_not_beat_it() -> None:
    truth = np.array([0, 0, 0, 1, 2])
    assert beats_commonest(truth, np.array([0, 0, 1, 1, 0]))
    assert not beats_commonest(truth, np.array([0, 0, 1, 2, 1]))


def test_accuracy_is_the_share_that_is_right() -> None:
    assert accuracy(TRUTH, SAID) == pytest.approx(4 / 6)


def test_macro_f1_weighs_every_label_alike() -> None:
    # F1: label 0 is 4 / (3 + 3), label 1 is 2 / (2 + 2), label 2 is 2 / 2.
    assert macro_f1(TRUTH, SAID, 3) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_a_label_that_occurs_nowhere_does_not_lower_macro_f1() -> None:
    assert macro_f1(TRUTH, SAID, 4) == pytest.approx(macro_f1(TRUTH, SAID, 3))


def test_a_label_that_is_only_ever_predicted_counts_as_zero() -> None:
    assert macro_f1(np.array([0, 0]), np.array([0, 1]), 2) == pytest.approx((2 / 3 + 0) / 2)


def test_calibration_error_is_the_weighted_gap_per_bin() -> None:
    # Bin of 0.9: 2 rows, one right: gap 0.4. Bin of 0.6: 2 rows, both right: gap 0.4.
    # Bin of 0.75: 1 row, right: gap 0.25. Together (2 * 0.4 + 2 * 0.4 + 0.25) / 5.
    first = np.array([0.9, 0.9, 0.6, 0.6, 0.75])
    probabilities = np.stack([first, 1 - first], axis=1)
    error = expected_calibration_error(probabilities, np.array([0, 1, 0, 0, 0]))
    assert error == pytest.approx((0.8 + 0.8 + 0.25) / 5)


def test_a_confidence_of_one_falls_into_the_last_bin() -> None:
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([0])) == 0
    assert expected_calibration_error(np.array([[1.0, 0.0]]), np.array([1])) == 1


def test_metrics_come_under_stable_names() -> None:
    probabilities = np.eye(3)[SAID]
    found = metrics(probabilities, TRUTH)
    assert found == {"accuracy": 0.6667, "macro_f1": 0.7222, "ece": 0.3333, "rows": 6}


SURE = np.array([0.9, 0.8, 0.7, 0.6])
SURE_SAID = np.stack([SURE, 1 - SURE], axis=1)  # always label 0


def test_the_surest_rows_come_first_in_coverage() -> None:
    found = coverage_curve(SURE_SAID, np.array([0, 0, 1, 0]), [0.25, 0.5, 0.75, 1.0])
    assert [point["accuracy"] for point in found] == [1.0, 1.0, pytest.approx(0.6667), 0.75]
    assert [point["threshold"] for point in found] == [0.9, 0.8, 0.7, 0.6]
    assert [point["coverage"] for point in found] == [0.25, 0.5, 0.75, 1.0]


def test_coverage_of_a_single_row_keeps_it() -> None:
    assert coverage_curve(SURE_SAID[:1], np.array([0]), [0.1]) == [
        {"coverage": 1.0, "threshold": 0.9, "accuracy": 1.0}
    ]


def test_a_threshold_that_nobody_reaches_has_no_accuracy() -> None:
    truth = np.array([0, 0, 1, 0])
    assert above(SURE_SAID, truth, 0.7) == {
        "threshold": 0.7,
        "coverage": 0.75,
        "accuracy": pytest.approx(0.6667),
    }
    assert above(SURE_SAID, truth, 0.95)["accuracy"] is None


def test_the_bins_of_the_diagram_are_those_of_the_calibration_error() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 500)
    truth = rng.integers(0, 3, 500)
    bins = reliability(probabilities, truth)
    assert sum(part["rows"] for part in bins) == 500
    gaps = [part["rows"] * abs(part["accuracy"] - part["confidence"]) / 500 for part in bins]
    assert sum(gaps) == pytest.approx(expected_calibration_error(probabilities, truth), abs=1e-3)
    for part in bins:
        assert part["low"] <= part["confidence"] <= part["high"]


def test_wilsons_interval_is_that_of_the_books() -> None:
    # Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    known = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (hits, rows), interval in known.items():
        assert wilson_interval(hits / rows, rows) == pytest.approx(interval, abs=1e-4)
    assert wilson_interval(1.0, 3)[1] == 1.0


def test_two_models_are_compared_row_by_row() -> None:
    truth = np.array([0, 0, 1, 1])
    one, other = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 0])
    assert compare(truth, one, other) == {"only_one_right": 2, "only_other_right": 1}


def test_of_several_labels_a_row_is_right_only_as_a_whole() -> None:
    truth = np.array([[True, False], [True, True]])
    one, other = np.array([[True, False], [True, False]]), ~truth
    assert compare(truth, one, other) == {"only_one_right": 1, "only_other_right": 0}


@pytest.mark.parametrize(
    ("hits", "better"),
    [(15, False), (19, False), (20, True), (30, True)],  # of 30; p of 19 is 0.1, of 20 0.049
)
def test_a_model_is_better_than_the_commonest_label_by_an_exact_test(
    hits: int, better: bool
) -> None:
    """Of 30 rows, 15 with either label: 17 right ones are no sign of anything."""
    truth = np.arange(30) % 2
    predicted = np.where(np.arange(30) < hits, truth, 1 - truth)
    assert surely_beats_commonest(truth, predicted) is better
