"""Labeled rows whose label is in doubt, told by models that have not learned from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def suspects(probabilities: NDArray[np.floating], given: NDArray[np.integer]) -> NDArray[np.int64]:
    """Find rows that are surer of another label than that label's own rows are (Northcutt 2021).

    Confident learning, equation 2 of arXiv 1911.00068: label j's threshold is the mean probability
    of j among the rows that carry it; a row counts as j where it reaches that, and as the likeliest
    such label where it reaches several. Those that count as another label than theirs are suspects.

    Args:
        probabilities: by models that have not learned from these rows. [rows, labels]
        given: the labels that the rows carry. [rows]

    Returns:
        the suspects, the worst first: by how much likelier the other label is.
    """
    thresholds = np.array(
        [
            probabilities[given == label, label].mean() if (given == label).any() else np.inf
            for label in range(probabilities.shape[1])
        ]
    )
    counted = np.where(probabilities >= thresholds, probabilities, -np.inf)
    other = counted.argmax(axis=1)
    rows = np.arange(len(given))
    doubtful = np.flatnonzero(np.isfinite(counted[rows, other]) & (other != given))
    lead = probabilities[doubtful, other[doubtful]] - probabilities[doubtful, given[doubtful]]
    return doubtful[np.argsort(-lead, kind="stable")]
