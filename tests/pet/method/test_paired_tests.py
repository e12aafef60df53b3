"""Paired tests: by hand, and against what they are meant to find."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.paired_tests import better_by, is_clearly_higher, macro_f1_test, mcnemar


def test_the_exact_test_is_the_binomial_one() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar(5, 1) == mcnemar(1, 5)


def test_a_difference_that_chance_may_have_made_is_not_clear() -> None:
    untrained = np.array([0.2, 0.9, 0.4, 0.5])
    assert not is_clearly_higher(untrained + np.array([0.5, -0.4, 0.3, -0.2]), untrained)
    assert is_clearly_higher(untrained + np.array([0.5, 0.4, 0.3, 0.2]), untrained)
    assert not is_clearly_higher(untrained - 0.1, untrained)
    assert not is_clearly_higher(untrained[:1] + 9, untrained[:1]), "of one row nothing is known"


def test_equal_predictions_are_never_better() -> None:
    truth = np.array([0, 1, 0, 1])
    assert better_by(truth, truth, truth, 2) is None


def test_a_model_is_better_by_accuracy_only_where_chance_is_unlikely() -> None:
    truth = np.zeros(40, np.int64)
    other = np.ones(40, np.int64)
    one = np.where(np.arange(40) < 5, truth, other)  # 5 rows to 0: p = 0.0625
    assert better_by(truth, one, other, 2) is None
    one = np.where(np.arange(40) < 6, truth, other)  # 6 to 0: p = 0.031
    assert better_by(truth, one, other, 2) == "accuracy"
    assert better_by(truth, other, one, 2) is None


def rare() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One model finds the 20 rows of a rare label, and errs as often about the common one."""
    truth = np.repeat([0, 1], [980, 20])
    one, other = truth.copy(), np.zeros(1000, np.int64)
    one[:20] = 1
    return truth, one, other


def test_of_models_of_the_same_accuracy_the_one_that_knows_rare_labels_is_better() -> None:
    """As on Reuters: every row of three labels was lost, and accuracy did not show it."""
    truth, one, other = rare()
    assert better_by(truth, one, other, 2) == "macro_f1"
    assert better_by(truth, other, one, 2) is None


def test_a_difference_of_macro_f1_is_measured_and_repeated_exactly() -> None:
    truth, one, other = rare()
    found, p_value = macro_f1_test(truth, one, other, 2, np.random.default_rng(1))
    f1 = [1920 / 1940, 40 / 60, 1960 / 1980, 0]
    assert found == pytest.approx((f1[0] + f1[1]) / 2 - (f1[2] + f1[3]) / 2)
    assert (found, p_value) == macro_f1_test(truth, one, other, 2, np.random.default_rng(1))
    assert p_value < 0.01


def test_chance_is_found_significant_as_often_as_the_level_says() -> None:
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(10):
        truth, one, other = rng.integers(0, 3, (3, 60))
        found += macro_f1_test(truth, one, other, 3, rng)[1] < 0.05
    assert found <= 2  # one in twenty is expected
