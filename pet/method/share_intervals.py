"""Each label's share of a pool, from drawn rows and predictions of all. Numpy in, numpy out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Shares:
    """Estimates with the ends of their intervals. [labels] each"""

    estimate: Array
    low: Array
    high: Array


def clopper_pearson(share: Array, rows: Array, confidence: float) -> tuple[Array, Array]:
    """Return the interval of a share seen in so many rows, which need not be whole numbers.

    The interval of Clopper and Pearson (1934) in quantiles of the beta distribution.
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    hits = share * rows
    with np.errstate(invalid="ignore", divide="ignore"):
        low = np.where(hits > 0, betaincinv(hits, rows - hits + 1, tail), 0.0)
        high = np.where(hits < rows, betaincinv(hits + 1, rows - hits, 1 - tail), 1.0)
    return low, high


def estimate_shares(
    labels: Array,
    claims: Array,
    pool_claims: Array,
    pool_rows: float,
    confidence: float,
    weights: Array | None = None,
) -> Shares:
    """Estimate shares from drawn rows, corrected by what the model claims of all rows.

    Prediction-powered inference (Angelopoulos et al. 2023, 2301.09633) with the weight w that
    makes the variance least (PPI++, 2311.01453):

        share = mean(y) - w (mean of the drawn rows' claims - mean of the pool's claims).

    The interval is that of Clopper and Pearson with the number of rows from which a plain mean
    would have the same variance (Korn and Graubard 1998): one that is normal is too short for
    rare labels. Rows are drawn without replacement, so the variance has the factor 1 - n / N.

    Args:
        labels: 1 where a drawn row has the label, else 0. [drawn, labels]
        claims: the model's probabilities of the drawn rows. [drawn, labels]
        pool_claims: their means over the pool. [labels]
        pool_rows: N; infinite where rows were drawn with replacement.
        weights: the share of the pool that each drawn row stands for, which sum up to 1, where
            strata were drawn from unequally; None: uniformly. [drawn]
    """
    drawn = len(labels)
    if weights is None:
        weights = np.full(drawn, 1 / drawn)
    mean_label, mean_claim = weights @ labels, weights @ claims
    of_labels, of_claims = weights[:, None] * (labels - mean_label), claims - mean_claim
    of_claims = weights[:, None] * of_claims
    spread, together = (of_claims**2).sum(axis=0), (of_claims * of_labels).sum(axis=0)
    weight = np.clip(np.divide(together, spread, out=np.zeros_like(spread), where=spread > 0), 0, 1)
    residuals = of_labels - weight * of_claims
    estimate = np.clip(mean_label - weight * (mean_claim - pool_claims), 0, 1)
    # One more row that is wholly wrong: of a rare label a small sample may lack it.
    of_one = (weights**2).sum() / drawn
    variance = ((residuals**2).sum(axis=0) + of_one) * drawn / max(drawn - 2, 1)
    alike = 1 / (weights**2).sum()  # drawn rows that would weigh alike (Kish 1965)
    own = np.clip(estimate, 1 / (2 * alike), 1 - 1 / (2 * alike))
    rows = np.maximum(own * (1 - own) / variance, alike) / max(1 - drawn / pool_rows, 1e-9)
    low, high = clopper_pearson(estimate, rows, confidence)
    return Shares(estimate, low, high)
