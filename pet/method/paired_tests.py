"""Whether one of two models is better, tested on the same rows. Numpy in, numpy out."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pet.method.metrics import confusion_matrix, macro_f1_of

LEVEL = 0.05  # of significance, two-sided

ROUNDS = 2000  # of the randomization test: a p-value of 0.05 is known to within 0.01

Measure = Literal["accuracy", "macro_f1", "micro_f1"]  # the last of several labels a text

Labels = NDArray[np.integer]


def is_clearly_higher(losses: NDArray[np.floating], others: NDArray[np.floating]) -> bool:
    """Return whether losses of the same rows are higher, by more than a standard error. [rows]"""
    differences = losses - others
    deviation = differences.std(ddof=1) if len(differences) > 1 else np.inf
    return bool(differences.mean() > deviation / np.sqrt(len(differences)))


def mcnemar(only_one_right: int, only_other_right: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (1947): the rows are a binomial draw."""
    from scipy.stats import binomtest  # a second, which few commands need

    differing = only_one_right + only_other_right
    return float(binomtest(only_one_right, differing).pvalue) if differing else 1.0


def macro_f1_test(
    truth: Labels, one: Labels, other: Labels, labels: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Test the difference of two macro-F1 scores by approximate randomization (Yeh 2000).

    In every round the predictions of two models are exchanged on half of the rows where they
    differ, drawn at random; all other rows stay as they are.

    Args:
        truth, one, other: true labels, and those that each model predicts. [rows]

    Returns:
        the first's score minus the other's, and the two-sided p-value.
    """
    differ = one != other
    same = confusion_matrix(truth[~differ], one[~differ], labels)
    truth, one, other = truth[differ], one[differ], other[differ]

    def gap(first: Labels, second: Labels) -> float:
        scores = [
            macro_f1_of(same + confusion_matrix(truth, own, labels)) for own in (first, second)
        ]
        return scores[0] - scores[1]

    found = gap(one, other)
    beyond = 0
    for _ in range(ROUNDS):
        swap = rng.random(len(truth)) < 0.5
        tried = gap(np.where(swap, other, one), np.where(swap, one, other))
        beyond += abs(tried) >= abs(found) - 1e-12
    return found, (beyond + 1) / (ROUNDS + 1)


def better_by(truth: Labels, one: Labels, other: Labels, labels: int) -> Measure | None:
    """Return by which measure the first of two models is significantly better; None if by none.

    It is by accuracy, or, where the accuracies may be equal, by macro-F1: of rare labels accuracy
    knows little.

    Args:
        truth, one, other: true labels, and those that each model predicts. [rows]
    """
    right, other_right = one == truth, other == truth
    won, lost = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    if mcnemar(won, lost) < LEVEL:
        return "accuracy" if won > lost else None
    found, p_value = macro_f1_test(truth, one, other, labels, np.random.default_rng(0))
    return "macro_f1" if found > 0 and p_value < LEVEL else None
