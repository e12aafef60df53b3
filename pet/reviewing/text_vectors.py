"""Texts as vectors without a model: TF-IDF, then latent semantic analysis."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

WIDTH = 100  # what scikit-learn's manual recommends for LSA
FEATURES = 50_000
_WORD = re.compile(r"\w+")


def text_vectors(texts: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Turn texts into vectors of length one; texts of like words point the same way.

    Words that most texts share say nothing of any of them and are left out, whatever the
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
