"""How good predictions of several labels a text are. Numpy in, numpy out.

Measures are those of Tsoumakas et al. 2010 ("Mining Multi-label Data"): over all answers (micro),
label by label (macro), and by whole rows (subset accuracy).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.method.ensembling import Array
from pet.method.metrics import curve_of, figures_of_kept
from pet.method.several_labels import Sets, log_loss

BINS = 15

ROUNDS = 2000  # of a randomization test

LEVEL = 0.05


def certainty(probabilities: Array, chosen: Sets) -> Array:
    """Return the probability that each label's answer is right: given, or not. [rows, labels]"""
    return np.asarray(np.where(chosen, probabilities, 1 - probabilities))


def confidence_of(probabilities: Array, chosen: Sets) -> Array:
    """Return the probability that all answers of a row are right, were they independent. [rows]"""
    return np.asarray(certainty(probabilities, chosen).prod(axis=1))


def f1_of(right: Any, given: Any, true: Any) -> Any:
    """Return F1 of counts: 2 right / (given + true); 1 where nothing was given and nothing true."""
    total = np.asarray(given) + np.asarray(true)
    return np.where(total > 0, 2 * np.asarray(right) / np.maximum(total, 1), 1.0)


def micro_f1(truth: Sets, chosen: Sets) -> float:
    """Return F1 over all rows and labels together."""
    return float(f1_of((truth & chosen).sum(), chosen.sum(), truth.sum()))


def macro_f1(truth: Sets, chosen: Sets) -> float:
    """Return the mean F1 of the labels that occur in the truth or among the predictions."""
    present = truth.any(axis=0) | chosen.any(axis=0)
    of_labels = f1_of((truth & chosen).sum(axis=0), chosen.sum(axis=0), truth.sum(axis=0))
    return float(of_labels[present].mean()) if present.any() else 1.0


def label_errors(probabilities: Array, truth: Sets, bins: int = BINS) -> Array:
    """Return every label's expected calibration error, in bins of equal width. [labels]"""
    place = np.minimum((probabilities * bins).astype(int), bins - 1)
    found = np.zeros(probabilities.shape[1])
    for number in range(bins):
        inside = place == number
        gaps = np.where(inside, truth - probabilities, 0.0).sum(axis=0)
        found += np.abs(gaps) / max(len(truth), 1)
    return found


def set_metrics(probabilities: Array, truth: Sets, chosen: Sets) -> dict[str, float]:
    """Return what the report shows of a set of predictions.

    Returns:
        `accuracy` is that of whole rows; `ece` the mean over the labels; `log_loss` the mean over
        all answers.
    """
    return {
        "accuracy": round(float((truth == chosen).all(axis=1).mean()), 4),
        "micro_f1": round(micro_f1(truth, chosen), 4),
        "macro_f1": round(macro_f1(truth, chosen), 4),
        "ece": round(float(label_errors(probabilities, truth).mean()), 4),
        "log_loss": round(log_loss(probabilities, truth), 4),
        "rows": len(truth),
    }


def set_reliability(probabilities: Array, truth: Sets, bins: int = BINS) -> list[dict[str, float]]:
    """Return the share of answers that hold, by their probability; as `metrics.reliability`."""
    given, has = probabilities.ravel(), truth.ravel()
    place = np.minimum((given * bins).astype(int), bins - 1)
    return [
        {
            "low": round(int(number) / bins, 4),
            "high": round((int(number) + 1) / bins, 4),
            "rows": int((place == number).sum()),
            "confidence": round(float(given[place == number].mean()), 4),
            "accuracy": round(float(has[place == number].mean()), 4),
        }
        for number in np.unique(place)
    ]


def set_coverage(
    probabilities: Array, truth: Sets, chosen: Sets, coverages: Sequence[float]
) -> list[dict[str, float]]:
    """Return the accuracy of whole rows against coverage; as `metrics.coverage_curve`."""
    right = (truth == chosen).all(axis=1)
    return curve_of(confidence_of(probabilities, chosen), right, coverages)


def sets_above(
    probabilities: Array, truth: Sets, chosen: Sets, threshold: float
) -> dict[str, float | None]:
    """Return coverage and accuracy of the rows of which no label's answer is in doubt."""
    kept = np.asarray((certainty(probabilities, chosen) >= threshold).all(axis=1))
    return figures_of_kept(kept, (truth == chosen).all(axis=1), threshold)


def label_table(
    probabilities: Array, truth: Sets, chosen: Sets, thresholds: Sequence[float]
) -> list[dict[str, float | int | None]]:
    """Return for every label its rows, those it was given to, and how well. [labels]"""
    right, given, true = (truth & chosen).sum(axis=0), chosen.sum(axis=0), truth.sum(axis=0)
    f1, errors = f1_of(right, given, true), label_errors(probabilities, truth)
    return [
        {
            "rows": int(true[n]),
            "given": int(given[n]),
            "right": int(right[n]),
            "precision": round(right[n] / given[n], 4) if given[n] else None,
            "recall": round(right[n] / true[n], 4) if true[n] else None,
            "f1": round(float(f1[n]), 4),
            "ece": round(float(errors[n]), 4),
            "threshold": round(thresholds[n], 4),
        }
        for n in range(truth.shape[1])
    ]


def co_occurrence(sets: Sets) -> NDArray[np.int64]:
    """Count rows with each two labels; on the diagonal those with one. [labels, labels]"""
    counts = sets.astype(np.int64)
    return counts.T @ counts


def better_by_f1(truth: Sets, one: Sets, other: Sets) -> str | None:
    """Return by which measure the first of two models is significantly better; None if by none.

    By a randomization test: under the hypothesis that both are alike, either could have predicted
    either's labels of a row (Yeh 2000, cs/0008005).
    """
    rng = np.random.default_rng(0)
    counts = (
        np.stack([(truth & sets).sum(axis=1) for sets in (one, other)]),
        np.stack([sets.sum(axis=1) for sets in (one, other)]),
    )
    true = truth.sum()

    def gap(right: NDArray[np.int64], given: NDArray[np.int64]) -> float:
        own = f1_of(right.sum(axis=-1), given.sum(axis=-1), true)
        return float(own[0] - own[1])

    found, beyond = gap(*counts), 0
    for _ in range(ROUNDS):
        swap = rng.random(len(truth)) < 0.5
        tried = gap(*(np.where(swap, own[::-1], own) for own in counts))
        beyond += abs(tried) >= abs(found) - 1e-12
    return "micro_f1" if found > 0 and (beyond + 1) / (ROUNDS + 1) < LEVEL else None
