"""Label words that labeled rows suggest: likelier at the mask of a label's rows than of others'.

Schick, Schmid and Schütze 2020, "Automatically Identifying Words That Can Serve as Labels for
Few-Shot Text Classification" (arXiv 2010.13641, PETAL): words are ranked by their log-likelihood
ratio; Gao et al. 2021 (LM-BFF, arXiv 2012.15723, section 5.1) search by the same distributions of
the untrained model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pet.method.ensembling import Array, folds_of

MOST_WORDS = 10  # beside a label's own; never more than the label has rows

CANDIDATES = 1000  # words that are compared: the likeliest at the mask, whatever the label

FOLDS = 10  # into which rows are dealt at most; fewer rows are left out one by one

Chosen = tuple[tuple[int, ...], ...]  # by label: places of the words beside its own


def likeliest(logs: Array, most: int = CANDIDATES) -> NDArray[np.int64]:
    """Return the places of the words that are likeliest on average, in order of place. [words]

    No label has a say in it: rare words have extreme ratios in a handful of rows by chance.

    Args:
        logs: log p of words at the mask. [patterns, rows, words]
    """
    mean = np.exp(logs).mean(axis=(0, 1))
    return np.sort(np.argsort(-mean, kind="stable")[:most])


def likelihood_ratios(logs: Array, labels: NDArray[np.integer], count: int) -> Array:
    """Return how much likelier words are in a label's rows than in others'. [labels, words]

    The mean of log p over the label's rows, less the mean over the other labels' means, so that
    the labels' shares have no say; -inf of a label without rows, and where there is no other.

    Args:
        logs: log p of words at the mask, averaged over the patterns. [rows, words]
        labels: of the rows. [rows]
        count: how many labels there are.
    """
    ratios = np.full((count, logs.shape[1]), -np.inf)
    means = {label: logs[labels == label].mean(axis=0) for label in np.unique(labels)}
    for label, own in means.items():
        others = [mean for other, mean in means.items() if other != label]
        if others:
            ratios[label] = own - np.mean(others, axis=0)
    return ratios


def choose_words(
    logs: Array, labels: NDArray[np.integer], count: int, most: int = MOST_WORDS
) -> Chosen:
    """Choose for each label the words of the highest ratio; a word goes to one label only.

    A label gets at most as many words as it has rows: what two rows say is not to outvote the
    label's own words.

    Args:
        logs: log p of words at the mask. [patterns, rows, words]
        labels: of the rows. [rows]
        count: how many labels there are.
    """
    ratios = likelihood_ratios(logs.mean(axis=0), labels, count)
    best, rows = ratios.argmax(axis=0), np.bincount(labels, minlength=count)
    chosen = []
    for label, own in enumerate(ratios):
        able = (best == label) & (own > 0)
        ranked = np.argsort(-np.where(able, own, -np.inf), kind="stable")
        kept = ranked[: min(most, int(rows[label]))]
        chosen.append(tuple(int(word) for word in kept if able[word]))
    return tuple(chosen)


def scores_by_words(logs: Array, own: Array, counts: NDArray[np.integer], chosen: Chosen) -> Array:
    """Score labels by the mean over their own and the chosen words. [patterns, rows, labels]

    Args:
        logs: log p of words at the mask. [patterns, rows, words]
        own: mean log p of the labels' own words. [patterns, rows, labels]
        counts: how many own words labels have. [patterns, labels]
    """
    added = np.stack([logs[..., list(words)].sum(axis=-1) for words in chosen], axis=-1)
    each = counts[:, None, :]
    return (own * each + added) / (each + [len(words) for words in chosen])


def deal(labels: NDArray[np.integer], seed: int) -> list[NDArray[np.int64]]:
    """Deal rows into folds, each label evenly: the rows of every fold."""
    folds = folds_of(labels, min(len(labels), FOLDS), np.random.default_rng(seed))
    return [np.flatnonzero(folds == fold) for fold in np.unique(folds)]


def without(rows: Sequence[int] | NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Return the other rows of so many."""
    return np.setdiff1d(np.arange(count), rows)
