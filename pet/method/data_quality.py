"""Texts that are the same, or nearly: what makes a test set flatter and a pool smaller."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pet.data.text_keys import text_key

# Of runs of five characters, nine tenths in common (cosine): typing errors, other punctuation,
# another signature; never two texts that merely share a subject.
ALIKE = 0.9

RUN = 5

SLICE = 500  # rows compared at once: similarities of a slice to all rows are in memory


def near_duplicates(
    texts: Sequence[str], others: Sequence[str] | None = None, alike: float = ALIKE
) -> list[tuple[int, int]]:
    """Pair every text with the one most like it, where they are nearly the same.

    Args:
        texts: a few thousand at most: every text is held against every other.
        others: where to look; among `texts` themselves, before each, if not given.
        alike: cosine of counts of character runs from which two texts count as the same.

    Returns:
        (row of `texts`, row of `others`), in the order of `texts`.
    """
    from sklearn.feature_extraction.text import HashingVectorizer  # a second, where it is needed

    if not len(texts) or (others is not None and not len(others)):
        return []
    vectorizer = HashingVectorizer(
        analyzer="char_wb", ngram_range=(RUN, RUN), alternate_sign=False, norm="l2"
    )
    own = vectorizer.transform(texts)
    pool = own if others is None else vectorizer.transform(others)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(texts), SLICE):
        similar = (own[start : start + SLICE] @ pool.T).toarray()
        if others is None:
            similar = np.tril(similar, start - 1)
        best = similar.argmax(axis=1)
        rows = np.flatnonzero(similar[np.arange(len(best)), best] >= alike)
        pairs += [(start + int(row), int(best[row])) for row in rows]
    return pairs


def duplicate_rows(texts: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    """Return the rows whose text stood in an earlier row: one of the same `text_key`."""
    seen: set[tuple[str, ...]] = set()
    rows = []
    for row, fields in enumerate(texts):
        key = tuple(map(text_key, fields))
        if key in seen:
            rows.append(row)
        seen.add(key)
    return np.asarray(rows, dtype=np.int64)


def find_label_issues(
    probabilities: NDArray[np.floating], given: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Find rows that are predicted as another label with more confidence than that label's own rows
    are on average (confident learning, Northcutt 2021).

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
