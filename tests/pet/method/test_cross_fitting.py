"""Folds of texts, and students' scores made as sure as the ensemble: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.cross_fitting import MOST, TOO_WEAK, as_confident_as, correct, deal_texts
from pet.method.ensembling import softmax


def test_equal_texts_in_two_folds_would_tell_of_each_other() -> None:
    texts = [f"text {number % 7}" for number in range(70)]
    for seed in range(20):
        folds = deal_texts([texts], 3, np.random.default_rng(seed))
        of_text = [set(folds[number::7]) for number in range(7)]
        assert all(len(own) == 1 for own in of_text)
        assert set(folds) == {0, 1, 2}


def test_texts_that_differ_in_one_field_are_not_the_same_text() -> None:
    columns = [["same"] * 100, [f"hypothesis {number}" for number in range(100)]]
    folds = deal_texts(columns, 2, np.random.default_rng(0))
    assert np.bincount(folds).tolist() == [50, 50]


def test_folds_of_unlike_size_would_leave_a_student_little_to_learn() -> None:
    folds = deal_texts([[str(number) for number in range(101)]], 4, np.random.default_rng(3))
    assert sorted(np.bincount(folds)) == [25, 25, 25, 26]


def test_folds_that_change_from_start_to_start_would_undo_what_is_done() -> None:
    texts = [[str(number) for number in range(50)]]
    first, second = (deal_texts(texts, 2, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_classifiers_three_times_too_confident_would_outweigh_the_ensemble() -> None:
    """Scores that are the ensemble's times three come out as the ensemble's own soft labels."""
    scores = np.random.default_rng(0).normal(size=(200, 3))
    soft = softmax(scores, 2.0)
    np.testing.assert_allclose(as_confident_as(3 * scores, soft, 2.0), soft, atol=1e-4)


def test_rows_on_which_classifiers_and_ensemble_differ_lower_their_confidence() -> None:
    """Four rows by hand: they say what the ensemble says of three, so 3/4 is how sure they are."""
    ensemble = np.array([[1.0, 0.0]] * 3 + [[0.0, 1.0]])
    said = as_confident_as(np.array([[9.0, 0.0]] * 4), ensemble, 1.0)
    np.testing.assert_allclose(said, [[0.75, 0.25]] * 4, atol=1e-3)


def test_the_label_that_classifiers_predict_stays_theirs() -> None:
    """The ensemble sets how sure they are, never which label is best."""
    rng = np.random.default_rng(1)
    logits, soft = rng.normal(size=(50, 4)), softmax(rng.normal(size=(50, 4)), 2.0)
    said = as_confident_as(logits, soft, 2.0)
    assert said.dtype == np.float32
    np.testing.assert_array_equal(said.argmax(axis=1), logits.argmax(axis=1))
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-6)


def predicted(wrong: int, rows: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Sure soft labels of two even labels, and students that say another of the first rows."""
    soft = np.eye(2)[np.arange(rows) % 2] * 0.98 + 0.01
    logits = np.log(soft)
    logits[:wrong] = logits[:wrong, ::-1]
    return soft, logits


def test_classifiers_that_know_all_have_no_more_than_the_most_weight() -> None:
    soft, logits = predicted(wrong=0)
    found = correct(soft, 3 * logits, 1.0)
    assert (found.kept, found.share) == (pytest.approx(1), pytest.approx(MOST))
    np.testing.assert_allclose(found.soft_labels, as_confident_as(logits, soft, 1.0), atol=1e-5)


def test_classifiers_that_know_nearly_all_would_correct_no_row() -> None:
    soft, logits = predicted(wrong=2)
    found = correct(soft, logits, 1.0)
    assert found.kept == pytest.approx(1 - 2 * 2 / 100)
    assert found.soft_labels[:3].argmax(axis=1).tolist() == [1, 0, 0], "the rows that they correct"


def test_classifiers_too_weak_for_the_task_would_spoil_the_ensembles_labels() -> None:
    soft, logits = predicted(wrong=21)
    found = correct(soft, logits, 1.0)
    assert found.kept == pytest.approx(0.58)
    assert found.share == 0
    np.testing.assert_allclose(found.soft_labels, soft, atol=1e-6)


def test_in_between_the_weight_is_shared_as_by_hand() -> None:
    soft, logits = predicted(wrong=12)
    found = correct(soft, logits, 1.0)
    assert found.kept == pytest.approx(1 - 2 * 12 / 100)
    assert found.share == pytest.approx((0.76 - TOO_WEAK) / (1 - TOO_WEAK))
    mixed = soft ** (1 - found.share) * as_confident_as(logits, soft, 1.0) ** found.share
    by_hand = as_confident_as(np.log(mixed), soft, 1.0)
    np.testing.assert_allclose(found.soft_labels, by_hand, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 10.0])
def test_a_mixture_of_predictors_that_contradict_each_other_would_have_less_confidence(
    temperature: float,
) -> None:
    """Both are as sure of a row; where they differ the mixture is on the fence, and no surer."""
    rng = np.random.default_rng(2)
    truth = np.eye(3)[np.arange(300) % 3]
    ensemble, students = (4 * truth + rng.normal(size=truth.shape) for _ in range(2))
    found = correct(softmax(ensemble, temperature), students, temperature)
    assert 0 < found.share < 1
    calibrated = softmax(np.log(found.soft_labels), 1 / temperature)

    def negative_log_likelihood(scale: float) -> float:
        return -float((softmax(ensemble) * np.log(softmax(np.log(calibrated), scale))).sum())

    assert negative_log_likelihood(1.0) < min(
        negative_log_likelihood(0.9), negative_log_likelihood(1.1)
    )


def test_where_nearly_all_rows_have_one_label_the_ensemble_teaches() -> None:
    """Agreement by chance is all there is: nothing tells what students know."""
    soft = np.array([[0.99, 0.01]] * 99 + [[0.01, 0.99]])
    found = correct(soft, np.log(soft), 1.0)
    assert (found.kept, found.share) == (None, 0)
    np.testing.assert_allclose(found.soft_labels, soft, atol=1e-6)
