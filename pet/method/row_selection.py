"""Which rows of a labeled pool are worth a person's time. Numpy in, numpy out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from pet.method.several_labels import Sets, strata_of

Array = NDArray[np.floating]

NEAR = 0.9  # cosine similarity from which two texts count as one and the same

AMONG = 5  # times as many rows as are wanted: the most doubtful, from which kinds are chosen

WAYS = ("coverage", "doubt")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows to choose from, with their predictions.

    Attributes:
        ids: one per row.
        probabilities: [rows, labels]
        agreement: share of members with the predicted label, NaN where unknown. [rows]
        sets: the predicted labels, where a row may have several. [rows, labels]
        counts: how often each of several labels is predicted in the whole pool. [labels]
    """

    ids: list[str]
    probabilities: Array
    agreement: Array
    sets: Sets | None = None
    counts: NDArray[np.int64] | None = None

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The predicted label; of several the rarest, or one more than there are for none."""
        if self.sets is None or self.counts is None:
            return self.probabilities.argmax(axis=1)
        return strata_of(self.sets, self.counts)

    @property
    def margins(self) -> Array:
        """How sure each row's label is: 0 is undecided; of several, that of the least sure."""
        if self.sets is None:
            return margins(self.probabilities)
        certainty = np.where(self.sets, self.probabilities, 1 - self.probabilities)
        return np.maximum(2 * certainty.min(axis=1) - 1, 0.0)

    def take(self, rows: NDArray[np.int64]) -> Candidates:
        """Return some of the rows."""
        return replace(
            self,
            ids=[self.ids[row] for row in rows],
            probabilities=self.probabilities[rows],
            agreement=self.agreement[rows],
            sets=None if self.sets is None else self.sets[rows],
        )

    def join(self, other: Candidates) -> Candidates:
        """Return the rows of both."""
        sets = None
        if self.sets is not None and other.sets is not None:
            sets = np.concatenate([self.sets, other.sets])
        return replace(
            self,
            ids=self.ids + other.ids,
            probabilities=np.concatenate([self.probabilities, other.probabilities]),
            agreement=np.concatenate([self.agreement, other.agreement]),
            sets=sets,
        )


class Sample:
    """A uniform sample per predicted label of rows that stream past; memory stays bounded.

    Every row draws a number; the rows with the smallest stay, so many per label. Small labels
    are there in full, however large the others are.
    """

    def __init__(
        self, labels: int, per_label: int, seed: int, counts: NDArray[np.int64] | None = None
    ):
        """
        Args:
            counts: of the labels in the whole pool, where a row may have several. [labels]
        """
        self._per_label = per_label
        self._rng = np.random.default_rng(seed)
        self._drawn = np.zeros(0)
        sets = None if counts is None else np.zeros((0, labels), np.bool_)
        self.kept = Candidates([], np.zeros((0, labels)), np.zeros(0), sets, counts)

    def offer(self, batch: Candidates) -> None:
        """Let the next rows of the pool take part."""
        drawn = np.concatenate([self._drawn, self._rng.random(len(batch.ids))])
        every = self.kept.join(batch)
        order = np.argsort(drawn, kind="stable")
        of_label = every.predicted[order]
        stay = [order[of_label == label][: self._per_label] for label in np.unique(of_label)]
        rows = np.sort(np.concatenate([*stay, np.zeros(0, np.int64)]))
        self._drawn, self.kept = drawn[rows], every.take(rows)


def margins(probabilities: Array) -> Array:
    """Return how far the likeliest label is ahead of the next: 0 is undecided. [rows]"""
    best = np.sort(probabilities, axis=1)
    return best[:, -1] - best[:, -2]


def doubts(candidates: Candidates) -> Array:
    """Return how much a row is in doubt, 0 to 1: the mean of uncertainty and disagreement. [rows]

    Uncertainty is one less the margin. A row that no member was asked about is taken to have as
    much disagreement, for its uncertainty, as the others have on the mean; else rows would seem
    doubtful for not having been asked.
    """
    uncertainty = 1 - candidates.margins
    disagreement = 1 - candidates.agreement
    known = ~np.isnan(disagreement)
    ratio = 1.0
    if uncertainty[known].any():
        ratio = disagreement[known].sum() / uncertainty[known].sum()
    filled = np.where(known, disagreement, np.minimum(ratio * uncertainty, 1))
    return (uncertainty + filled) / 2


def quotas(available: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Share rows out evenly over the labels; what a label cannot fill goes to the others. [labels]

    Args:
        available: how many rows each label has. [labels]
        rows: how many are wanted.
    """
    given = np.zeros(len(available), np.int64)
    while (left := min(rows, int(available.sum())) - int(given.sum())) > 0:
        open_ = np.flatnonzero(given < available)
        share, extra = divmod(left, len(open_))
        more = np.full(len(open_), share) + (np.arange(len(open_)) < extra)
        given[open_] = np.minimum(given[open_] + more, available[open_])
    return given


@dataclass(frozen=True)
class Choice:
    """One chosen row, and how many of the candidates it stands for."""

    row: int
    stands_for: int


def choose(
    candidates: Candidates, vectors: Array, rows: int, seed: int, by: str = "coverage"
) -> list[Choice]:
    """Choose rows: the same number per predicted label, and within a label one of each kind.

    The candidates of a label are put into as many groups as it may have rows (k-means); the row
    in the middle of each group is chosen, unless it is all but equal to a row chosen before.

    Args:
        candidates: with the predictions of the student.
        vectors: of the texts, of length one. [rows, width]
        rows: how many to choose; fewer are returned where the candidates are too much alike.
        by: "coverage" takes every row for a candidate; "doubt" the most doubtful ones, where most
            labels are wrong. For the next run coverage is better, and where subjects are told
            apart better than random rows: tests/bench/results/review.md.

    Returns:
        Labels in turn, the largest groups first, so that whoever stops early has seen most kinds.
    """
    predicted, doubt = candidates.predicted, doubts(candidates)
    counts = np.bincount(predicted, minlength=candidates.probabilities.shape[1])
    chosen: list[list[Choice]] = []
    for label, quota in enumerate(quotas(counts, rows)):
        own = np.flatnonzero(predicted == label)
        if by == "doubt":
            own = own[np.argsort(-doubt[own], kind="stable")[: AMONG * quota]]
        taken = [choice.row for of_label in chosen for choice in of_label]
        chosen.append(_middles(own, vectors, int(quota), taken, seed))
    deepest = max((len(of_label) for of_label in chosen), default=0)
    return [of_label[k] for k in range(deepest) for of_label in chosen if k < len(of_label)]


def _middles(
    own: NDArray[np.int64], vectors: Array, groups: int, taken: list[int], seed: int
) -> list[Choice]:
    """Group a label's rows; return the middle of each group, the largest group first."""
    groups = min(groups, len(np.unique(vectors[own], axis=0)))
    if not groups:
        return []
    means = KMeans(groups, n_init=1, random_state=seed).fit(vectors[own])
    distance = np.linalg.norm(vectors[own] - means.cluster_centers_[means.labels_], axis=1)
    sizes = np.bincount(means.labels_, minlength=groups)
    chosen: list[Choice] = []
    for group in np.argsort(-sizes, kind="stable"):
        inside = np.flatnonzero(means.labels_ == group)
        for row in own[inside[np.argsort(distance[inside], kind="stable")]]:
            if not taken or (vectors[taken] @ vectors[row]).max() < NEAR:
                chosen.append(Choice(int(row), int(sizes[group])))
                taken = [*taken, int(row)]
                break
    return chosen


WIDTH = 100  # what scikit-learn's manual recommends for LSA

FEATURES = 50_000

_WORD = re.compile(r"\w+")


def text_vectors(texts: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Turn texts into vectors of length one; texts of like words point the same way.

    Words that most texts share do not set any of them apart and are dropped, whatever the
    language.

    Returns:
        [rows, width]; zeros for a text of nothing but common words.
    """
    common = 0.2 if len(texts) >= WIDTH else 1.0
    vectorizer = TfidfVectorizer(
        analyzer=_words, sublinear_tf=True, max_df=common, max_features=FEATURES
    )
    try:
        counted = vectorizer.fit_transform(texts)
    except ValueError:  # no word is left: the texts are all but the same
        counted = vectorizer.set_params(max_df=1.0).fit_transform(texts)
    if min(counted.shape) <= WIDTH:
        return normalize(counted.toarray())
    with np.errstate(divide="ignore", invalid="ignore"):  # texts all alike have no variance
        return normalize(TruncatedSVD(WIDTH, random_state=seed).fit_transform(counted))


def _words(text: str) -> list[str]:
    """Split into words in lower case; a text without any is one word of its own."""
    return _WORD.findall(text.lower()) or [text]
