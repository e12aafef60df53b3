"""A linear classifier of a text's words, which predicts out of fold. Numpy in, numpy out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pet.method.linear_head import LinearHead, fit_head

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# A word is two letters or more; where words are written without spaces between them (Chinese,
# Japanese), each character is one.
_CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
WORD = rf"[{_CHARACTERS}]|[^\W{_CHARACTERS}]{{2,}}"

Fit = Callable[[Any, NDArray[np.floating], float], LinearHead]

MOST_WORDS = 50_000  # the most frequent ones: weights are a number per word and label

# C of scikit-learn. Of 1, 3 and 10, chosen by the labels of the pool that are right, on labeled
# sets 5 to 7.
PENALTY = 3.0


def word_features(
    columns: Sequence[Sequence[str]], *others: Sequence[Sequence[str]]
) -> list[csr_matrix] | None:
    """Return TF-IDF of the words of each row; None where no word occurs in two rows.

    Args:
        columns: the texts of each field; their words and frequencies count. [fields, rows]
        others: further texts, to be seen by the same words.

    Returns:
        Of the first texts, then of each of the others. [rows, words]
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second, which few need

    texts, *more = ([" ".join(row) for row in zip(*own, strict=True)] for own in (columns, *others))
    vectorizer = TfidfVectorizer(
        min_df=2, max_features=MOST_WORDS, sublinear_tf=True, token_pattern=WORD
    )
    try:
        fitted = vectorizer.fit_transform(texts)
    except ValueError:  # no vocabulary is left
        return None
    # scikit-learn refuses to transform no text at all: nothing is labeled.
    return [fitted, *(vectorizer.transform(own) if own else fitted[:0] for own in more)]


def predict_out_of_fold(
    features: csr_matrix,
    targets: NDArray[np.floating],
    folds: NDArray[np.int64],
    learned: NDArray[np.bool_],
    fit: Fit = fit_head,
) -> NDArray[np.float32]:
    """Score every row by a classifier that was fitted to the other folds.

    Args:
        features: [rows, words]
        targets: probabilities. [rows, labels]
        folds: of each row. [rows]
        learned: the rows that may be learned from. [rows]
        fit: makes a classifier of features and targets, with a penalty.

    Returns:
        Logits. [rows, labels]
    """
    found = np.empty(targets.shape, np.float32)
    for fold in np.unique(folds):
        others, inside = np.flatnonzero((folds != fold) & learned), np.flatnonzero(folds == fold)
        head = fit(features[others], targets[others], PENALTY)
        found[inside] = head.logits(features[inside])
    return found
