"""Cross-fitting: soft labels of students that are out of fold. Numpy in, numpy out.

A student that passes over a small pool several times learns its soft labels by heart, the wrong
ones too, and predicts these rows no better than the ensemble does, while rows that it has not
learned it predicts better. So each fold of the rows is labeled by a student of the other folds, as
in cross-fitting (Chernozhukov et al. 2018, arXiv 1608.00060), and that is what the last student
learns: all of it where students retain what the ensemble knows, and the less of it the more they
lose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pet.method.ensembling import Array, combine, softmax
from pet.method.ipet import retention

# Students that retain this much of the ensemble's knowledge out of fold get no weight; those that
# retain all of it get all the weight. Chosen on pools of validation seeds, by the labels of the
# pool that are right: with 0.96 to 0.99 retained (BERT-tiny, its own teacher) students
# alone are as good as any mixture, 0.4 to 4 points above the ensemble; with 0.95 (MiniLM, taught
# topics by itself and SmolLM2) four fifths of them are right about 0.945, they alone about 0.941,
# the ensemble about 0.932; with 0.78 (films) a quarter adds half a point, they alone cost four.
TOO_WEAK = 0.7


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
    """Soft labels, and how much of them is from students.

    Attributes:
        soft_labels: softened as the ensemble's were. [rows, labels]
        kept: retention of the ensemble's knowledge by students, out of fold; None where it cannot
            be measured.
        share: of the students in the soft labels; the rest is the ensemble's.
    """

    soft_labels: NDArray[np.float32]
    kept: float | None
    share: float


def correct(soft_labels: Array, logits: Array, temperature: float) -> Correction:
    """Let students correct the ensemble out of fold, as far as they can.

    Both are mixed log-linearly, and the mixture is as confident as the ensemble: where the two
    contradict each other, the mixture alone would be underconfident.

    Args:
        soft_labels: the ensemble's, softened at `temperature`. [rows, labels]
        logits: of students, out of fold. [rows, labels]
    """
    kept = retention(_unsoftened(soft_labels, temperature), logits.argmax(axis=1))
    share = 0.0 if kept is None else float(np.clip((kept - TOO_WEAK) / (1 - TOO_WEAK), 0, 1))
    if not share:
        return Correction(np.asarray(soft_labels, np.float32), kept, share)
    students = as_confident_as(logits, soft_labels, temperature)
    mixed = temperature * combine(_logs(np.stack([soft_labels, students])), [1 - share, share])
    return Correction(as_confident_as(mixed, soft_labels, temperature), kept, share)


def as_confident_as(logits: Array, soft_labels: Array, temperature: float) -> NDArray[np.float32]:
    """Return scores as soft labels with the ensemble's confidence.

    They are divided by the temperature under which the ensemble's own probabilities are likeliest:
    calibration (Guo et al. 2017) to what is calibrated already.

    Args:
        logits: of students, or of a mixture. [rows, labels]
        soft_labels: the ensemble's, softened at `temperature`. [rows, labels]

    Returns:
        Soft labels, softened at `temperature`. [rows, labels]
    """
    from scipy.optimize import minimize_scalar  # a second, which few commands need
    from scipy.special import log_softmax

    calibrated = _unsoftened(soft_labels, temperature)

    def negative_log_likelihood(log_temperature: float) -> float:
        logs = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float((calibrated * logs).sum())

    found = minimize_scalar(
        negative_log_likelihood, bounds=(np.log(0.1), np.log(30.0)), method="bounded"
    ).x
    return softmax(logits, float(np.exp(found)) * temperature).astype(np.float32)


def _unsoftened(soft_labels: Array, temperature: float) -> Array:
    return softmax(_logs(soft_labels), 1 / temperature)


def _logs(probabilities: Array) -> Array:
    return np.log(np.clip(probabilities, 1e-12, 1))
