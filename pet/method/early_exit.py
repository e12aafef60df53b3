"""When a row may leave a student before its last layer (DeeBERT: Xin et al. 2020, 2004.12993)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Share of rows that may get another label than the last layer gives them.
MOST_LOST = 0.005

# Rows of which that share is a single one: with fewer, a threshold is a guess, and no row leaves.
LEAST_ROWS = round(1 / MOST_LOST)

NEVER = 2.0  # no confidence is as high

CANDIDATES = 400  # thresholds that are tried

Array = NDArray[np.floating]


class ExitFigures(NamedTuple):
    """What becomes of rows that leave at a threshold.

    Attributes:
        agreement: share of rows that keep the label of the last layer.
        layers: share of rows that leave at each layer, the last one included.
    """

    agreement: float
    layers: list[float]


def first_exit(confidence: Array, threshold: float) -> NDArray[np.int64]:
    """Return the number of the first exit that is sure enough; how many there are, if none.

    Args:
        confidence: the probability of each exit's label. [exits, rows]
    """
    sure = confidence >= threshold
    return np.where(sure.any(axis=0), sure.argmax(axis=0), len(sure)).astype(np.int64)


def exit_figures(confidence: Array, alike: NDArray[np.bool_], threshold: float) -> ExitFigures:
    """Measure what a threshold does to rows.

    Args:
        confidence, alike: of each exit, the probability of its label, and whether the last layer
            gives the same. [exits, rows]
    """
    exits, rows = confidence.shape
    at = first_exit(confidence, threshold)
    kept = np.vstack([alike, np.ones(rows, np.bool_)])[at, np.arange(rows)]
    return ExitFigures(float(kept.mean()), (np.bincount(at, minlength=exits + 1) / rows).tolist())


def choose_threshold(confidence: Array, alike: NDArray[np.bool_]) -> float:
    """Choose the lowest threshold from which on upwards at most `MOST_LOST` of the rows change.

    Args:
        confidence, alike: of held-out rows, as for `exit_figures`. [exits, rows]

    Returns:
        `NEVER` where there are fewer than `LEAST_ROWS` rows, or none may leave.
    """
    chosen = NEVER
    if confidence.shape[1] < LEAST_ROWS:
        return chosen
    for threshold in np.unique(np.quantile(confidence, np.linspace(0, 1, CANDIDATES)))[::-1]:
        if 1 - exit_figures(confidence, alike, float(threshold)).agreement > MOST_LOST:
            break
        chosen = float(threshold)
    return chosen
