"""A linear classifier on sentence embeddings, fitted to soft targets. Numpy in, numpy out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from pet.ensembling import fit_temperature, folds_of

Array = NDArray[np.floating]
PENALTIES = (1.0, 10.0, 100.0)  # C, the inverse strength of the L2 penalty
FOLDS = 10
FILE = "head.safetensors"


@dataclass(frozen=True)
class LinearHead:
    """Logits are `embeddings @ weight + bias`. weight: [width, labels], bias: [labels]"""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, embeddings: Array) -> NDArray[np.float32]:
        """Score embeddings [rows, width]. [rows, labels]"""
        return (embeddings @ self.weight + self.bias).astype(np.float32)

    def divided(self, temperature: float) -> LinearHead:
        """Return the head whose logits are divided by a temperature."""
        return LinearHead(self.weight / temperature, self.bias / temperature)

    def save(self, folder: Path) -> None:
        """Write the head as safetensors."""
        save_file({"weight": self.weight, "bias": self.bias}, folder / FILE)


def load_head(folder: Path) -> LinearHead:
    """Read a head that was saved."""
    tensors = load_file(folder / FILE)
    return LinearHead(tensors["weight"], tensors["bias"])


def fit_head(embeddings: Array, targets: Array, penalty: float) -> LinearHead:
    """Fit multinomial logistic regression to soft targets.

    A row of probabilities counts as one row per label, weighted by its probability: the same
    cross-entropy, which scikit-learn does not take directly. A label that no row shows cannot be
    learned; it gets the lowest score of those that are, so that it is never likelier than they.

    Args:
        embeddings: [rows, width]
        targets: probabilities. [rows, labels]
        penalty: C of scikit-learn: the larger, the weaker the L2 penalty.
    """
    from sklearn.linear_model import LogisticRegression  # a second, which few commands need

    rows, labels = np.nonzero(targets > 1e-3)
    known = np.unique(labels)
    weight = np.zeros((embeddings.shape[1], targets.shape[1]), np.float32)
    bias = np.zeros(targets.shape[1], np.float32)
    if len(known) > 1:
        model = LogisticRegression(C=penalty, max_iter=1000)
        model.fit(embeddings[rows], labels, sample_weight=targets[rows, labels])
        coefficients, constants = model.coef_, model.intercept_
        if len(known) == 2:  # scikit-learn keeps only the second label's side
            coefficients = np.concatenate([-coefficients, coefficients]) / 2
            constants = np.concatenate([-constants, constants]) / 2
        weight[:, known], bias[known] = coefficients.T, constants
    unknown = np.setdiff1d(np.arange(targets.shape[1]), known)
    bias[unknown] = bias[known].min() if len(known) > 1 else -1.0
    return LinearHead(weight, bias)


@dataclass(frozen=True)
class Fitted:
    """A head, and what cross-validation on the labeled rows says of it.

    Attributes:
        penalty: C as chosen.
        accuracy: of labeled rows by heads that were fitted without them; None without such rows.
    """

    head: LinearHead
    penalty: float
    temperature: float
    accuracy: float | None


def fit_calibrated(
    embeddings: Array, labels: NDArray[np.int64], drawn: Array, drawn_targets: Array,
    rng: np.random.Generator,
) -> Fitted:  # fmt: skip
    """Fit a head on labeled and drawn rows; choose its penalty, and set how sure it is.

    Every labeled row is scored by a head that was fitted without its fold; the penalty under which
    the labels are likeliest is taken, and the logits are divided by the temperature that fits them,
    so that this voice is as loud in the ensemble as it is right.

    Args:
        embeddings, labels: of the labeled rows. [rows, width], [rows]
        drawn, drawn_targets: rows that teachers labeled. [drawn, width], [drawn, labels]
    """
    gold = np.eye(drawn_targets.shape[1], dtype=np.float32)[labels]
    everything = np.concatenate([embeddings, drawn]), np.concatenate([gold, drawn_targets])
    if len(labels) < 2:
        return Fitted(fit_head(*everything, PENALTIES[1]), PENALTIES[1], 1.0, None)
    folds = folds_of(labels, min(FOLDS, len(labels)), rng)
    best: tuple[float, float, float, float] | None = None
    for penalty in PENALTIES:
        held_out = np.empty(gold.shape)
        for fold in np.unique(folds):
            inside = np.flatnonzero(folds == fold)
            fitted = fit_head(
                np.delete(everything[0], inside, axis=0),
                np.delete(everything[1], inside, axis=0), penalty,
            )  # fmt: skip
            held_out[inside] = fitted.logits(embeddings[inside])
        temperature = fit_temperature(held_out, labels)
        loss = _loss(held_out / temperature, labels)
        accuracy = float((held_out.argmax(axis=1) == labels).mean())
        if best is None or loss < best[0]:
            best = (loss, penalty, temperature, accuracy)
    assert best is not None
    _, penalty, temperature, accuracy = best
    head = fit_head(*everything, penalty).divided(temperature)
    return Fitted(head, penalty, temperature, accuracy)


def _loss(logits: Array, labels: NDArray[np.int64]) -> float:
    top = logits.max(axis=1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return float(-logs[np.arange(len(labels)), labels].mean())
