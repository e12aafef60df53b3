"""Label words by likelihood ratio: the ones a person would see in the numbers."""

from __future__ import annotations

import numpy as np

from pet.method.label_words import (
    choose_words,
    deal,
    likeliest,
    likelihood_ratios,
    scores_by_words,
    without,
)

TRUTH = np.array([0, 0, 0, 1])
LOGS = np.log(np.array([[0.6, 0.1, 0.2], [0.6, 0.1, 0.2], [0.6, 0.1, 0.2], [0.1, 0.4, 0.2]]))


def test_a_label_with_many_rows_counts_no_more_than_another() -> None:
    ratios = likelihood_ratios(LOGS, TRUTH, 3)
    np.testing.assert_allclose(ratios[0], [np.log(6), -np.log(4), 0])
    np.testing.assert_allclose(ratios[1], -ratios[0])
    assert np.isneginf(ratios[2]).all()  # no row of it, no word


def test_rows_of_one_label_alone_suggest_nothing() -> None:
    assert choose_words(LOGS[None, :3], TRUTH[:3], 2) == ((), ())


def test_a_word_goes_to_one_label_and_only_where_it_speaks_for_it() -> None:
    assert choose_words(LOGS[None], TRUTH, 3) == ((0,), (1,), ())


def test_a_label_gets_as_many_words_as_it_has_rows() -> None:
    logs = np.concatenate([LOGS, LOGS / 2, LOGS / 4], axis=1)  # every word thrice
    assert choose_words(logs[None], TRUTH, 2) == ((0, 3, 6), (1,))
    assert choose_words(logs[None], TRUTH, 2, most=2) == ((0, 3), (1,))


def test_candidates_are_what_is_likely_whatever_the_label() -> None:
    assert likeliest(LOGS[None], 2).tolist() == [0, 2]


def test_labels_are_asked_for_by_the_mean_over_own_and_chosen_words() -> None:
    own, counts = np.log(np.full((1, 4, 2), 0.5)), np.array([[2, 1]])
    scores = scores_by_words(LOGS[None], own, counts, ((0,), ()))[0]
    np.testing.assert_allclose(scores[:, 0], (LOGS[:, 0] + 2 * np.log(0.5)) / 3)
    np.testing.assert_allclose(scores[:, 1], np.log(0.5))


def test_few_rows_are_left_out_one_by_one_and_many_in_ten_folds() -> None:
    assert sorted(map(len, deal(TRUTH, 0))) == [1, 1, 1, 1]
    folds = deal(np.arange(40) % 2, 0)
    assert sorted(np.concatenate(folds)) == list(range(40))
    assert [len(fold) for fold in folds] == [4] * 10
    assert without(folds[0], 40).tolist() == sorted(set(range(40)) - set(folds[0].tolist()))
