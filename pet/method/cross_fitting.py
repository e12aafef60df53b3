"""Cross-fitting: soft labels corrected out of fold. Numpy in, numpy out.

An ensemble of language models errs in its own way. A classifier of another kind, fitted to its soft
labels, averages its errors out, but learns the wrong labels of its own rows by heart. So each fold
of the rows is predicted by a classifier of the other folds, as in cross-fitting (Chernozhukov et
al. 2018, arXiv 1608.00060), and its predictions are mixed with the ensemble's: the more so, the
more of what the ensemble knows it has retained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pet.method.ensembling import Array, combine, softmax
from pet.method.ipet import retention

# Classifiers that retain this much of the knowledge of the ensemble get no weight, and the weight
# grows with what they retain, up to MOST. Chosen by the labels of the pool that are right, labeled
# set 5, of the ensemble and corrected: posts .819 and .869 (BERT-tiny), .931 and .954 (SmolLM2 and
# MiniLM), Reuters .828 and .826, films .640 and .643. With all the weight posts gain one point
# more, and Reuters, whose labels are rare, loses one.
TOO_WEAK, MOST = 0.6, 0.6


def share_of(kept: float | None) -> float:
    """Return the weight, 0 to 1, of who retains this much of the knowledge of an ensemble."""
    return 0.0 if kept is None else float(np.clip((kept - TOO_WEAK) / (1 - TOO_WEAK), 0, MOST))


def deal_texts(
    columns: Sequence[Sequence[str]], folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal texts into folds, evenly; equal texts share one, or one would leak the other. [rows]

    Args:
        columns: the texts of each field. [fields, rows]
    """
    places: dict[tuple[str, ...], int] = {}
    distinct = [places.setdefault(text, len(places)) for text in zip(*columns, strict=True)]
    return (rng.permutation(len(places)) % folds)[distinct]


@dataclass(frozen=True)
class Correction:
    """Soft labels, and how much of them is from classifiers out of fold.

    Attributes:
        soft_labels: softened as the ensemble's were. [rows, labels]
        kept: retention of the ensemble's knowledge by the classifiers, out of fold; None where it
            cannot be measured.
        share: of the classifiers in the soft labels; the rest is the ensemble's.
    """

    soft_labels: NDArray[np.float32]
    kept: float | None
    share: float


def correct(soft_labels: Array, logits: Array, temperature: float) -> Correction:
    """Let classifiers correct the ensemble out of fold, as far as they can.

    Both are mixed log-linearly, and the mixture is as confident as the ensemble: where the two
    contradict each other, the mixture alone would be underconfident.

    Args:
        soft_labels: the ensemble's, softened at `temperature`. [rows, labels]
        logits: of the classifiers, out of fold. [rows, labels]
    """
    kept = retention(unsoften(soft_labels, temperature), logits.argmax(axis=1))
    share = share_of(kept)
    if not share:
        return Correction(np.asarray(soft_labels, np.float32), kept, share)
    others = as_confident_as(logits, soft_labels, temperature)
    mixed = temperature * combine(_logs(np.stack([soft_labels, others])), [1 - share, share])
    return Correction(as_confident_as(mixed, soft_labels, temperature), kept, share)


def as_confident_as(logits: Array, soft_labels: Array, temperature: float) -> NDArray[np.float32]:
    """Return scores as soft labels with the ensemble's confidence.

    They are divided by the temperature under which the ensemble's own probabilities are likeliest:
    calibration (Guo et al. 2017) to what is calibrated already.

    Args:
        logits: of classifiers, or of a mixture. [rows, labels]
        soft_labels: the ensemble's, softened at `temperature`. [rows, labels]

    Returns:
        Soft labels, softened at `temperature`. [rows, labels]
    """
    from scipy.optimize import minimize_scalar  # a second, which few commands need
    from scipy.special import log_softmax

    calibrated = unsoften(soft_labels, temperature)

    def negative_log_likelihood(log_temperature: float) -> float:
        logs = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float((calibrated * logs).sum())

    found = minimize_scalar(
        negative_log_likelihood, bounds=(np.log(0.1), np.log(30.0)), method="bounded"
    ).x
    return softmax(logits, float(np.exp(found)) * temperature).astype(np.float32)


def unsoften(soft_labels: Array, temperature: float) -> Array:
    """Return the probabilities that were softened at a temperature. [rows, labels]"""
    return softmax(_logs(soft_labels), 1 / temperature)


def _logs(probabilities: Array) -> Array:
    return np.log(np.clip(probabilities, 1e-12, 1))
