"""A linear classifier of a text's words: the linear student, and predictions out of fold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from pet.method.linear_head import WORDS, LinearHead, fit_head, load_head
from pet.progress import Tick, no_tick

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

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
    words, fitted = fit_words(columns)
    return [fitted, *map(words.features, others)] if words.rarity else None


def fit_words(columns: Sequence[Sequence[str]]) -> tuple[Words, csr_matrix]:
    """Learn the words of texts, each of which occurs in two rows at least.

    Args:
        columns: the texts of each field. [fields, rows]

    Returns:
        the words, and TF-IDF of them. [rows, words]
    """
    vectorizer, texts = _vectorizer(min_df=2, max_features=MOST_WORDS), _joined(columns)
    try:
        fitted = vectorizer.fit_transform(texts)
    except ValueError:  # no vocabulary is left
        words = Words({})
        return words, words.features(columns)
    names = vectorizer.get_feature_names_out().tolist()
    return Words(dict(zip(names, vectorizer.idf_.tolist(), strict=True))), fitted


@dataclass(frozen=True)
class Words:
    """The words that a classifier knows.

    Attributes:
        rarity: of each word its inverse document frequency, as scikit-learn's; in the order of
            the features.
    """

    rarity: Mapping[str, float]

    def features(self, columns: Sequence[Sequence[str]]) -> csr_matrix:
        """Return TF-IDF of the words of texts. [fields, rows] -> [rows, words]"""
        texts = _joined(columns)
        if not texts or not self.rarity:  # scikit-learn refuses to transform none
            from scipy.sparse import csr_matrix

            return csr_matrix((len(texts), len(self.rarity)))
        return self._vectorizer.transform(texts)

    @cached_property
    def _vectorizer(self) -> TfidfVectorizer:
        vectorizer = _vectorizer(vocabulary=list(self.rarity))
        vectorizer.idf_ = np.array(list(self.rarity.values()))
        return vectorizer


def _vectorizer(**settings: Any) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second, which few need

    return TfidfVectorizer(sublinear_tf=True, token_pattern=WORD, **settings)


def _joined(columns: Sequence[Sequence[str]]) -> list[str]:
    return [" ".join(row) for row in zip(*columns, strict=True)]


ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class WordClassifier:
    """Logistic regression on TF-IDF of words: it reads a text whole, thousands of them a second.

    A text without a word that it knows gets the bias alone: how frequent the labels are.
    """

    words: Words
    head: LinearHead

    def logits(self, columns: Sequence[Sequence[str]], tick: Tick = no_tick) -> NDArray[np.float32]:
        """Score texts, whose features are made for some rows at a time.

        Args:
            columns: the texts of each field. [fields, rows]

        Returns:
            [rows, labels]
        """
        rows = len(columns[0])
        found = np.empty((rows, len(self.head.bias)), np.float32)
        for start in range(0, rows, ROWS_AT_ONCE):
            some = slice(start, min(start + ROWS_AT_ONCE, rows))
            found[some] = self.head.logits(self.words.features([own[some] for own in columns]))
            tick(some.stop - start)
        return found

    def save(self, folder: Path) -> None:
        """Write the words as JSON and the head as safetensors: the same numbers are read back."""
        text = json.dumps(self.words.rarity, ensure_ascii=False, indent=0)
        (folder / WORDS).write_text(text + "\n", encoding="utf-8")
        self.head.save(folder)


def load_word_classifier(folder: Path, labels: int) -> WordClassifier:
    """Read a classifier that was saved; nothing in its files can run.

    Raises:
        ValueError: they are no classifier of so many labels.
    """
    try:
        rarity = json.loads((folder / WORDS).read_text(encoding="utf-8"))
        head = load_head(folder)
    except (OSError, KeyError, SafetensorError, RecursionError) as error:
        raise ValueError(f"its files cannot be read ({type(error).__name__})") from error
    if not isinstance(rarity, dict) or not all(
        isinstance(own, float) and math.isfinite(own) for own in rarity.values()
    ):
        raise ValueError(f"{WORDS} does not give a number for each word")
    shapes = head.weight.shape, head.bias.shape
    if shapes != ((len(rarity), labels), (labels,)):
        raise ValueError(f"weights of other words or labels: {shapes[0]}")
    if not (np.isfinite(head.weight).all() and np.isfinite(head.bias).all()):
        raise ValueError("weights that are no finite numbers")
    return WordClassifier(Words(rarity), head)


def fit_word_classifier(
    texts: Sequence[Sequence[str]],
    learned: Sequence[Sequence[str]] | NDArray[np.int64],
    targets: NDArray[np.floating],
    fit: Fit = fit_head,
) -> WordClassifier:
    """Fit a classifier of words.

    Args:
        texts: the words of these are known. [fields, rows]
        learned: the rows of these that are learned from, or other texts. [learned] or
            [fields, learned]
        targets: probabilities. [learned, labels]
        fit: makes a head of features and targets, with a penalty.
    """
    words, features = fit_words(texts)
    points = features[learned] if isinstance(learned, np.ndarray) else words.features(learned)
    return WordClassifier(words, fit(points, targets, PENALTY))


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
