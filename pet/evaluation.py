"""How good predictions are: accuracy, macro-F1, calibration. Numpy in, numpy out."""

from __future__ import annotations

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


def macro_f1(truth: Labels, predicted: Labels, labels: int) -> float:
    """Return the mean F1 over the labels that occur in the truth or among the predictions."""
    counts = confusion_matrix(truth, predicted, labels)
    hits = counts.diagonal()
    total = counts.sum(axis=0) + counts.sum(axis=1)
    present = total > 0
    return float((2 * hits[present] / total[present]).mean())


def expected_calibration_error(probabilities: Array, truth: Labels, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy over equal-width bins (Guo et al. 2017).

    Args:
        probabilities: [rows, labels]
        truth: [rows]
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(right[place == b].mean() - confidence[place == b].mean()) * (place == b).mean()
        for b in np.unique(place)
    ]
    return float(sum(gaps))


def metrics(probabilities: Array, truth: Labels) -> dict[str, float]:
    """Return what the report shows of a set of predictions: accuracy, macro-F1, ECE, rows."""
    predicted = probabilities.argmax(axis=1)
    return {
        "accuracy": round(accuracy(truth, predicted), 4),
        "macro_f1": round(macro_f1(truth, predicted, probabilities.shape[1]), 4),
        "ece": round(expected_calibration_error(probabilities, truth), 4),
        "rows": len(truth),
    }
