"""How good predictions are: accuracy, macro-F1, calibration, coverage. Numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

Labels = NDArray[np.integer]


def confusion_matrix(truth: Labels, predicted: Labels, labels: int) -> NDArray[np.int64]:
    """Count rows by true label (row) and predicted label (column). [labels, labels]"""
    counts = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def accuracy(truth: Labels, predicted: Labels) -> float:
    """Return the share of rows that are right."""
    return float((truth == predicted).mean())


def beats_commonest(truth: Labels, predicted: Labels) -> bool:
    """Return whether accuracy is at least that of always predicting the commonest label."""
    return bool((truth == predicted).sum() >= np.bincount(truth).max())


def surely_beats_commonest(truth: Labels, predicted: Labels) -> bool:
    """Return whether more rows are right than always predicting the commonest label would have.

    By an exact binomial test, one-sided, at a level of 5 %.
    """
    from scipy.stats import binomtest  # a second, which few commands need

    right, most = int((truth == predicted).sum()), np.bincount(truth).max()
    share = float(most / len(truth))
    return bool(binomtest(right, len(truth), share, alternative="greater").pvalue < 0.05)


def macro_f1(truth: Labels, predicted: Labels, labels: int) -> float:
    """Return the mean F1 over the labels that occur in the truth or among the predictions."""
    return macro_f1_of(confusion_matrix(truth, predicted, labels))


def macro_f1_of(confusion: NDArray[np.int64]) -> float:
    """Return the same of a confusion matrix. [labels, labels]"""
    total = confusion.sum(axis=0) + confusion.sum(axis=1)
    present = total > 0
    return float((2 * confusion.diagonal()[present] / total[present]).mean())


def expected_calibration_error(probabilities: Array, truth: Labels, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017).

    Args:
        probabilities: [rows, labels]
        truth: [rows]
    """
    gaps = [
        abs(right.mean() - confidence.mean()) * len(right) / len(truth)
        for _, confidence, right in _by_confidence(probabilities, truth, bins)
    ]
    return float(sum(gaps))


def reliability(probabilities: Array, truth: Labels, bins: int = 15) -> list[dict[str, float]]:
    """Return the bins of the calibration error that hold rows: mean confidence and accuracy.

    Returns:
        per bin: `low` and `high` (its bounds), `rows`, mean `confidence`, `accuracy`.
    """
    return [
        {
            "low": round(number / bins, 4),
            "high": round((number + 1) / bins, 4),
            "rows": len(right),
            "confidence": round(float(confidence.mean()), 4),
            "accuracy": round(float(right.mean()), 4),
        }
        for number, confidence, right in _by_confidence(probabilities, truth, bins)
    ]


def _by_confidence(
    probabilities: Array, truth: Labels, bins: int
) -> Iterator[tuple[int, Array, NDArray[np.bool_]]]:
    """Yield number, confidences and hits of every bin of equal width that holds rows."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    for number in np.unique(place):
        yield int(number), confidence[place == number], right[place == number]


def wilson_interval(share: float, rows: float, z: float = 1.96) -> tuple[float, float]:
    """Return the interval of 95 % for a share that was seen in so many rows (Wilson 1927)."""
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def compare(truth: NDArray[Any], one: NDArray[Any], other: NDArray[Any]) -> dict[str, int]:
    """Count the rows on which only one of two models is right: what McNemar's test looks at.

    Args:
        truth, one, other: known labels, and those that each predicts. [rows], or whether a row has
            each of several [rows, labels].
    """
    hit, other_hit = ((own == truth).reshape(len(truth), -1).all(axis=1) for own in (one, other))
    return {
        "only_one_right": int((hit & ~other_hit).sum()),
        "only_other_right": int((other_hit & ~hit).sum()),
    }


def coverage_curve(
    probabilities: Array, truth: Labels, coverages: Sequence[float] = tuple(np.arange(1, 11) / 10)
) -> list[dict[str, float]]:
    """Return accuracy against coverage (selective prediction).

    Args:
        probabilities: [rows, labels]
        truth: [rows]
        coverages: shares of the rows to keep, the most confident first.

    Returns:
        per share kept: `coverage`, the `threshold` of confidence that keeps it, `accuracy`.
    """
    return curve_of(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth, coverages)


def curve_of(
    confidence: Array, right: NDArray[np.bool_], coverages: Sequence[float]
) -> list[dict[str, float]]:
    """Return accuracy against coverage, by rows' confidence and whether they are right. [rows]"""
    order = np.argsort(-confidence, kind="stable")
    found = []
    for share in coverages:
        kept = order[: max(1, round(share * len(order)))]
        found.append(
            {
                "coverage": round(len(kept) / len(order), 4),
                "threshold": round(float(confidence[kept[-1]]), 4),
                "accuracy": round(float(right[kept].mean()), 4),
            }
        )
    return found


def above(probabilities: Array, truth: Labels, threshold: float) -> dict[str, float | None]:
    """Return coverage and accuracy of the rows whose confidence reaches a threshold."""
    kept = probabilities.max(axis=1) >= threshold
    return figures_of_kept(kept, probabilities.argmax(axis=1) == truth, threshold)


def figures_of_kept(
    kept: NDArray[np.bool_], right: NDArray[np.bool_], threshold: float
) -> dict[str, float | None]:
    """Return coverage and accuracy of the rows that are kept; the latter None of no row. [rows]"""
    return {
        "threshold": threshold,
        "coverage": round(float(kept.mean()), 4),
        "accuracy": round(float(right[kept].mean()), 4) if kept.any() else None,
    }


def metrics(probabilities: Array, truth: Labels) -> dict[str, float]:
    """Return what the report shows of a set of predictions: accuracy, macro-F1, ECE, rows."""
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": round(accuracy(truth, predicted), 4),
        "macro_f1": round(macro_f1(truth, predicted, probabilities.shape[1]), 4),
        "ece": round(expected_calibration_error(probabilities, truth), 4),
        "rows": len(truth),
    }
