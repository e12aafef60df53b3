"""From members' logits to an ensemble's: the weighted mean, agreement, entropy."""

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
    logits: Array, weights: Sequence[float], mask: NDArray[np.bool_] | None = None
) -> Array:
    """Return the weighted mean of member logits (section 3.3 of the PET paper, equation for s_M).

    Args:
        logits: [members, rows, labels]
        weights: [members], not negative; where all are zero, every member counts alike.
        mask: which members count for which row, at least one for each; all by default.
            [members, rows]

    Returns:
        [rows, labels]
    """
    share = np.asarray(weights, dtype=np.float64)
    assert len(share) == len(logits), "one weight a member"
    assert (share >= 0).all(), "weights are not negative"
    counted = np.ones(logits.shape[:2], bool) if mask is None else mask
    shares = share[:, None] * counted
    nobody = shares.sum(axis=0) == 0
    shares[:, nobody] = counted[:, nobody]
    shares /= shares.sum(axis=0)
    combined = np.zeros(logits.shape[1:])
    for of_member, own in zip(shares, logits, strict=True):
        # Softmax does not see a constant added to a row, but a mean over members on different
        # scales is easier to read when each row is centred.
        combined += of_member[:, None] * (own - own.mean(axis=-1, keepdims=True))
    return combined


def agreement(votes: NDArray[np.integer], labels: NDArray[np.integer]) -> Array:
    """Return the share of members whose vote is the given label. [rows]

    Args:
        votes: each member's best label. [members, rows]
        labels: [rows]
    """
    return (votes == labels).mean(axis=0)


def agreement_weights(logits: Array) -> list[float]:
    """Weigh each member by how far it agrees with all others together, chance taken out.

    No label is needed: a member that predicts what no other does is more often wrong than they
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
    """Return the entropy of each row in nats, from 0 to log(labels). [rows]"""
    safe = np.clip(probabilities, 1e-12, 1.0)
    return -(safe * np.log(safe)).sum(axis=-1)


def folds_of(
    labels: NDArray[np.integer], folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal rows into folds, each label evenly: the fold of every row. [rows]"""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    dealt = np.empty(len(labels), dtype=np.int64)
    dealt[order] = np.arange(len(labels)) % folds
    return dealt
