"""A linear classifier on features of texts, fitted to soft targets. Numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from pet.method.calibration import (
    fit_temperature,
    likeliest_temperature,
    negative_log_likelihood,
)
from pet.method.ensembling import folds_of, softmax

Array = NDArray[np.floating]

PENALTIES = (1.0, 10.0, 100.0)  # C, the inverse strength of the L2 penalty

TRUST = (1.0, 0.1, 0.0)  # what a drawn row counts beside a labeled one

FOLDS = 5

FILE = "head.safetensors"

WORDS = "words.json"  # beside it, where the features are words


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

    def without_opinion_on(self, labels: NDArray[np.bool_]) -> LinearHead:
        """Return the head without an opinion on some labels: they score as others do on average.

        In an ensemble, who knows nothing of a label must not outvote those who do. [labels]
        """
        if labels.all() or not labels.any():
            return self
        weight, bias = self.weight.copy(), self.bias.copy()
        weight[:, labels] = weight[:, ~labels].mean(axis=1, keepdims=True)
        bias[labels] = bias[~labels].mean()
        return LinearHead(weight, bias)

    def save(self, folder: Path) -> None:
        """Write the head as safetensors."""
        save_file({"weight": self.weight, "bias": self.bias}, folder / FILE)


def load_head(folder: Path) -> LinearHead:
    """Read a head that was saved."""
    tensors = load_file(folder / FILE)
    return LinearHead(tensors["weight"], tensors["bias"])


def fit_head(
    embeddings: Array, targets: Array, penalty: float, counts: Array | None = None
) -> LinearHead:
    """Fit multinomial logistic regression to soft targets.

    The same minimum as scikit-learn's, which takes no soft targets: it would have to be given every
    row once per label. A label that no row shows cannot be learned; it scores lower than any that
    was learned does on any of these rows.

    Args:
        embeddings: dense or sparse. [rows, width]
        targets: probabilities. [rows, labels]
        penalty: C of scikit-learn: the larger, the weaker the L2 penalty.
        counts: what each row counts; one if not given. [rows]
    """
    wanted = np.asarray(targets if counts is None else targets * counts[:, None], np.float64)
    shown = _shown(wanted)
    counted = wanted[:, shown].any(axis=1)
    weight = np.zeros((embeddings.shape[1], targets.shape[1]), np.float32)
    bias = np.zeros(targets.shape[1], np.float32)
    if shown.sum() > 1:
        points = embeddings[counted].astype(np.float64)
        weight[:, shown], bias[shown] = _minimum(points, wanted[np.ix_(counted, shown)], penalty)
    if not shown.all():
        bias[~shown] = (embeddings @ weight[:, shown] + bias[shown]).min() - 1
    return LinearHead(weight, bias)


def _shown(wanted: Array) -> NDArray[np.bool_]:
    """Return which labels some row has. [labels]"""
    return np.asarray((wanted > 1e-3).any(axis=0))


def _minimum(points: Array, wanted: Array, penalty: float) -> tuple[Array, Array]:
    """Minimise mean cross-entropy + |weight|^2 / 2Cn by L-BFGS; the bias is not penalised.

    Args:
        points: [rows, width]
        wanted: target probabilities of each row, times the weight of the row. [rows, labels]
    """
    from scipy.optimize import minimize  # a second, which few commands need
    from scipy.special import log_softmax

    width, labels = points.shape[1], wanted.shape[1]
    total, mass = wanted.sum(), wanted.sum(axis=1, keepdims=True)
    # Of two labels scikit-learn keeps one side, which is penalised twice as much as two halves are.
    pull = (2 if labels == 2 else 1) / (penalty * total)

    def loss(flat: Array) -> tuple[float, Array]:
        both = flat.reshape(width + 1, labels)
        logs = log_softmax(points @ both[:-1] + both[-1], axis=1)
        off = (np.exp(logs) * mass - wanted) / total
        slope = np.concatenate([points.T @ off + pull * both[:-1], off.sum(axis=0)[None]])
        value = -(wanted * logs).sum() / total + pull * (both[:-1] ** 2).sum() / 2
        return float(value), slope.ravel()

    start = np.zeros((width + 1) * labels)
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 1000, "gtol": 1e-4, "ftol": 1e-12},
    )
    both = found.x.reshape(width + 1, labels)
    return both[:-1], both[-1]


class Chosen(NamedTuple):
    """What cross-validation on the labeled rows has chosen: C, and what logits are divided by.

    Attributes:
        rows: labeled rows that it was chosen on.
    """

    penalty: float
    temperature: float
    rows: int

    def for_rows(self, rows: float) -> float:
        """Return the C for more rows under which the penalty weighs as much beside the mean loss.

        With C itself, logits grow with the rows, and the temperature is too low for them.
        """
        return self.penalty * self.rows / rows


@dataclass(frozen=True)
class Fitted:
    """A head, and its cross-validation on the labeled rows.

    Attributes:
        penalty: C as chosen.
        trust: what a drawn row counted beside a labeled one, as chosen.
        held_out: logits of the labeled rows by heads that were fitted without them, divided by
            the temperature; None where there are too few rows, or none is held out. [rows, labels]
        of_drawn: logits of the drawn rows by heads that were fitted without them, divided by the
            temperature; None where the labeled rows were held out instead. [drawn, labels]
    """

    head: LinearHead
    penalty: float
    trust: float
    temperature: float
    held_out: Array | None
    of_drawn: Array | None = None


def fit_calibrated(
    embeddings: Array,
    labels: NDArray[np.int64],
    drawn: Array,
    drawn_targets: Array,
    rng: np.random.Generator,
) -> Fitted:
    """Fit a head on labeled and drawn rows; choose its penalty, and calibrate it.

    Every labeled row is scored by a head that was fitted without its fold. The penalty, and what a
    drawn row counts, are those under which the labels are likeliest: so teachers that know less
    than the labeled rows do are not listened to. The logits are divided by the temperature that
    fits them, so that its logits are calibrated in the ensemble.

    Args:
        embeddings, labels: of the labeled rows. [rows, width], [rows]
        drawn, drawn_targets: rows that teachers labeled, who have not learned the labeled rows.
            [drawn, width], [drawn, labels]
    """
    gold = np.eye(drawn_targets.shape[1], dtype=np.float32)[labels]
    points, targets = np.concatenate([embeddings, drawn]), np.concatenate([gold, drawn_targets])
    if len(labels) < 2:
        head = fit_head(points, targets, PENALTIES[1]).without_opinion_on(~_shown(targets))
        return Fitted(head, PENALTIES[1], TRUST[0], 1.0, None)
    folds = folds_of(labels, min(FOLDS, len(labels)), rng)
    best: tuple[float, Fitted] | None = None
    for trust in TRUST if len(drawn) else TRUST[:1]:
        counts = np.concatenate([np.ones(len(labels)), np.full(len(drawn), trust)])
        for penalty in PENALTIES:
            held_out = held_out_logits(_by_penalty(penalty), points, targets, counts, folds)
            temperature = fit_temperature(held_out, labels)
            loss = negative_log_likelihood(softmax(held_out / temperature), labels) / len(labels)
            if best is None or loss < best[0]:
                head = fit_head(points, targets, penalty, counts).divided(temperature)
                head = head.without_opinion_on(~_shown(targets * counts[:, None]))
                best = loss, Fitted(head, penalty, trust, temperature, held_out / temperature)
    assert best is not None, "there is a penalty to try"
    return best[1]


def fit_to_teachers(
    embeddings: Array,
    labels: NDArray[np.int64],
    drawn: Array,
    drawn_targets: Array,
    rng: np.random.Generator,
) -> Fitted:
    """Fit a head on labeled rows, and on rows drawn by teachers who have learned these.

    What such teachers predict gives the labels away, so that no labeled row is held out. Penalty
    and temperature are those under which the teachers' soft labels of drawn rows are likeliest, by
    heads that were fitted without their fold. Kept from the head of the labeled rows alone, a
    penalty for rows that showed nothing made later ones predict one label (films, 50 labels), and
    the ensemble lost up to 3 points (validation rows of films and news).

    Args:
        embeddings, labels: of the labeled rows. [rows, width], [rows]
        drawn, drawn_targets: at least two. [drawn, width], [drawn, labels]
    """
    gold = np.eye(drawn_targets.shape[1], dtype=np.float32)[labels]
    points, targets = np.concatenate([drawn, embeddings]), np.concatenate([drawn_targets, gold])
    folds = rng.permutation(len(drawn)) % min(FOLDS, len(drawn))
    best: tuple[float, float, float, Array] | None = None
    for penalty in PENALTIES:
        ones = np.ones(len(points))
        held_out = held_out_logits(_by_penalty(penalty), points, targets, ones, folds)
        loss, temperature = likeliest_temperature(held_out, drawn_targets, lowest=0.1)
        if best is None or loss < best[0]:
            best = loss, penalty, temperature, held_out / temperature
    assert best is not None, "there is a penalty to try"
    _, penalty, temperature, of_drawn = best
    head = fit_head(points, targets, penalty).divided(temperature)
    head = head.without_opinion_on(~_shown(targets))
    return Fitted(head, penalty, TRUST[0], temperature, None, of_drawn)


def held_out_logits(
    fit: Callable[[Array, Array, Array], LinearHead],
    points: Array,
    targets: Array,
    counts: Array,
    folds: NDArray[np.int64],
) -> Array:
    """Score the rows that have a fold, which come first, by heads fitted without their fold.

    Args:
        fit: points, targets and counts -> a head.

    Returns:
        [rows with a fold, labels]
    """
    found = np.empty((len(folds), targets.shape[1]))
    for fold in np.unique(folds):
        inside = np.flatnonzero(folds == fold)
        others = np.delete(np.arange(len(points)), inside)
        found[inside] = fit(points[others], targets[others], counts[others]).logits(points[inside])
    return found


def _by_penalty(penalty: float) -> Callable[[Array, Array, Array], LinearHead]:
    return lambda points, targets, counts: fit_head(points, targets, penalty, counts)
