"""TF-IDF of words and a linear classifier on it, which predicts rows that it has not learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pet.method.word_classifier import (
    WordClassifier,
    fit_word_classifier,
    fit_words,
    load_word_classifier,
    predict_out_of_fold,
    word_features,
)

TEXTS = ["the ship went up", "the ship came back", "they won a match", "they lost a match"] * 5


def test_words_of_the_other_folds_predict_a_fold() -> None:
    (features,) = word_features([TEXTS]) or ()
    soft = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]] * 5)
    folds, every = np.arange(20) // 4, np.ones(20, bool)
    logits = predict_out_of_fold(features, soft, folds, every)
    np.testing.assert_array_equal(logits.argmax(axis=1), soft.argmax(axis=1))


def test_a_wrong_label_would_be_learned_by_heart_within_its_own_fold() -> None:
    (features,) = word_features([TEXTS]) or ()
    soft = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]] * 5)
    folds, every = np.arange(20) // 4, np.ones(20, bool)
    before = predict_out_of_fold(features, soft, folds, every)
    soft[:4] = soft[:4, ::-1]
    after = predict_out_of_fold(features, soft, folds, every)
    np.testing.assert_array_equal(before[:4], after[:4])
    assert (before[4:] != after[4:]).all()


def test_rows_that_may_not_be_learned_teach_nobody() -> None:
    (features,) = word_features([TEXTS]) or ()
    soft = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]] * 5)
    folds, learned = np.arange(20) // 4, np.arange(20) >= 4
    before = predict_out_of_fold(features, soft, folds, learned)
    soft[:4] = 0.5
    after = predict_out_of_fold(features, soft, folds, learned)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["好吃的菜", "好看的书"], 2),  # characters that both have
        (["Ship ship-wreck", "ship a b"], 1),
        (["naïve Übung", "naïve übung"], 2),
    ],
)
def test_words_are_found_in_every_script(texts: list[str], words: int) -> None:
    (features,) = word_features([texts]) or ()
    assert features.shape == (2, words)


@pytest.mark.parametrize("texts", [["one", "two"], ["??", "!!"], ["", ""]])
def test_texts_without_a_word_in_common_have_no_features(texts: list[str]) -> None:
    assert word_features([texts]) is None


def test_words_of_all_fields_count() -> None:
    (features,) = word_features([["ship", "match"], ["match", "ship"]]) or ()
    assert features.shape == (2, 2)


def test_other_texts_are_seen_by_the_words_of_the_first() -> None:
    first, other = word_features([["ship up", "ship down"]], [["ship match", "match"]]) or ()
    assert (first.shape, other.shape) == ((2, 1), (2, 1))
    assert other.toarray().tolist() == [[1.0], [0.0]]


def test_a_run_without_labeled_rows_has_words_all_the_same() -> None:
    """scikit-learn refuses to transform no text, and the linear student predicted by chance."""
    pool, labeled, test = word_features([TEXTS], [[]], [["they lost the match"]]) or ()
    assert labeled.shape == (0, pool.shape[1])
    assert test.nnz


def fitted() -> WordClassifier:
    soft = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]] * 5)
    return fit_word_classifier([TEXTS], np.arange(20), soft)


def test_a_classifier_is_read_back_with_the_same_numbers(tmp_path: Path) -> None:
    classifier, others = fitted(), [["the Ship won", "", "nothing known"]]
    classifier.save(tmp_path)
    loaded = load_word_classifier(tmp_path, 2)
    np.testing.assert_array_equal(loaded.logits(others), classifier.logits(others))
    assert loaded.words == classifier.words
    assert loaded.logits([[]]).shape == (0, 2)


def test_features_of_the_fit_are_those_of_the_words_alone() -> None:
    """What is learned from one way to count would be asked by another."""
    words, features = fit_words([TEXTS])
    np.testing.assert_allclose(words.features([TEXTS]).toarray(), features.toarray(), rtol=1e-14)


def test_rows_are_scored_alike_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, counted = fitted(), list[int]()
    expected = classifier.logits([TEXTS])
    monkeypatch.setattr("pet.method.word_classifier.ROWS_AT_ONCE", 3)
    np.testing.assert_array_equal(classifier.logits([TEXTS], counted.append), expected)
    assert counted == [3] * 6 + [2]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"ship": 1.0}', '{"ship": "1.0"}', '{"ship": NaN}', "[" * 100_000]
)
def test_damaged_words_are_named(tmp_path: Path, content: str) -> None:
    fitted().save(tmp_path)
    (tmp_path / "words.json").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"words|read|Expecting"):
        load_word_classifier(tmp_path, 2)


def test_weights_of_other_labels_are_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    with pytest.raises(ValueError, match="other words or labels"):
        load_word_classifier(tmp_path, 3)
    (tmp_path / "head.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        load_word_classifier(tmp_path, 2)
