"""From member logits to one voice: weights, soft labels, confidence. Numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Turn logits [..., labels] into probabilities at a temperature."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)


def combine(
    logits: Array, weights: Sequence[float], heard: NDArray[np.bool_] | None = None
) -> Array:
    """Return the weighted mean of member logits (section 3.3 of the PET paper, equation for s_M).

    Args:
        logits: [members, rows, labels]
        weights: [members], not negative; where all are zero, every member counts alike.
        heard: who has a say on which row, at least one on each; all if not given. [members, rows]

    Returns:
        [rows, labels]
    """
    share = np.asarray(weights, dtype=np.float64)
    assert len(share) == len(logits), "one weight a member"
    assert (share >= 0).all(), "weights are not negative"
    voices = np.ones(logits.shape[:2], bool) if heard is None else heard
    shares = share[:, None] * voices
    nobody = shares.sum(axis=0) == 0
    shares[:, nobody] = voices[:, nobody]
    shares /= shares.sum(axis=0)
    together = np.zeros(logits.shape[1:])
    for of_member, own in zip(shares, logits, strict=True):
        # Softmax does not see a constant added to a row, but a mean over members on different
        # scales is easier to read when each row is centred.
        together += of_member[:, None] * (own - own.mean(axis=-1, keepdims=True))
    return together


def soft_labels(logits: Array, weights: Sequence[float], temperature: float = 2.0) -> Array:
    """Return q = softmax(s_M / T): the targets of distillation. [rows, labels]"""
    return softmax(combine(logits, weights), temperature)


def calibration_offset(logits: Array) -> Array:
    """Return what to add to label scores to take out the labels' prior. [labels]

    The prior is the mean probability that each label gets on texts that say nothing of it:
    content-free ones (Zhao et al. 2021, contextual calibration) or the pool as a whole
    (domain-conditional PMI, Holtzman et al. 2021). The offsets have mean zero.

    Args:
        logits: of the untrained model on such texts. [rows, labels]
    """
    prior = np.log(np.clip(softmax(logits).mean(axis=0), 1e-9, 1.0))
    return prior.mean() - prior


def agreement(votes: NDArray[np.integer], labels: NDArray[np.integer]) -> Array:
    """Return the share of members whose vote is the given label. [rows]

    Args:
        votes: each member's best label. [members, rows]
        labels: [rows]
    """
    return (votes == labels).mean(axis=0)


def agreement_weights(logits: Array) -> list[float]:
    """Weigh each member by how far it agrees with all others together, chance taken out.

    No label is needed: a member that says what nobody else says is more often wrong than they
    are. The measure is Cohen's kappa against the mean of the other members, so that one who always
    names the commonest label weighs nothing; below zero it counts as zero.

    Args:
        logits: [members, rows, labels]
    """
    members, _, labels = logits.shape
    if members <= 2:
        return [1.0] * members
    weights = []
    for place in range(members):
        others = np.delete(logits, place, axis=0)
        own = logits[place].argmax(axis=-1)
        theirs = combine(others, [1.0] * (members - 1)).argmax(axis=-1)
        shares = [np.bincount(votes, minlength=labels) / len(votes) for votes in (own, theirs)]
        by_chance = float(shares[0] @ shares[1])
        kappa = ((own == theirs).mean() - by_chance) / max(1 - by_chance, 1e-12)
        weights.append(max(0.0, float(kappa)))
    return weights


def entropy(probabilities: Array) -> Array:
    """Return the entropy of each row in nats: 0 is sure, log(labels) is a shrug. [rows]"""
    safe = np.clip(probabilities, 1e-12, 1.0)
    return -(safe * np.log(safe)).sum(axis=-1)


def fit_temperature(
    logits: Array, labels: NDArray[np.integer], prior_strength: float = 4.0, expected: float = 1.0
) -> float:
    """Find the temperature under which the true labels are likeliest (Guo et al. 2017).

    With a handful of rows the likelihood alone runs off to zero or infinity, so log T has a
    normal prior around the expected one that weighs as much as `prior_strength` rows.

    Args:
        logits: [rows, labels] of rows that the model was not trained on.
        labels: [rows]
        expected: the temperature that is likeliest before any row is seen.
    """
    candidates = np.exp(np.arange(-115, 171) / 50)  # 0.1 to 30
    losses = [
        surprise(softmax(logits, t), labels) + prior_strength * np.log(t / expected) ** 2 / 2
        for t in candidates
    ]
    return float(candidates[int(np.argmin(losses))])


def surprise(probabilities: Array, labels: NDArray[np.integer]) -> float:
    """Return the negative log-likelihood of the labels, summed over the rows, in nats."""
    chances = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(chances, 1e-12, 1)).sum())


def fit_share(voices: Array, labels: NDArray[np.integer], prior_strength: float = 2.0) -> float:
    """Find the second voice's share of two under which the labels are likeliest.

    Stacking (Wolpert 1992) of two log-linear voices, at the best temperature of each mixture. The
    share has a prior around a half, a Beta distribution, for the rows are few.

    Args:
        voices: logits of rows that neither has learned from. [2, rows, labels]
        labels: [rows]

    Returns:
        A share between 0.05 and 0.95.
    """
    shares = np.linspace(0.05, 0.95, 19)
    losses = []
    for share in shares:
        together = combine(voices, [1 - share, share])
        honest = softmax(together, fit_temperature(together, labels))
        prior = prior_strength * float(np.log(share * (1 - share)))
        losses.append(surprise(honest, labels) - prior)
    return float(shares[int(np.argmin(losses))])


def match_confidence(logits: Array, confidence: float) -> float:
    """Find the temperature at which the mean probability of the best label is `confidence`.

    Args:
        logits: [rows, labels]
    """
    low, high = np.log(0.1), np.log(30.0)
    for _ in range(20):  # a higher temperature makes every row less sure
        middle = (low + high) / 2
        if softmax(logits, float(np.exp(middle))).max(axis=-1).mean() > confidence:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def folds_of(
    labels: NDArray[np.integer], folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal rows into folds, each label evenly: the fold of every row. [rows]"""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    dealt = np.empty(len(labels), dtype=np.int64)
    dealt[order] = np.arange(len(labels)) % folds
    return dealt
