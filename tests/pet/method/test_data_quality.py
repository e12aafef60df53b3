"""The same text twice, and nearly."""

from __future__ import annotations

import numpy as np

from pet.method.data_quality import SLICE, duplicate_rows, find_label_issues, near_duplicates

POST = "the shuttle reached its orbit at noon and the crew is well, says the agency today"


def test_a_text_with_a_typing_error_is_found_and_another_on_the_subject_is_not() -> None:
    texts = [POST, "the crew of the shuttle is well and in orbit", POST.replace("noon", "nooon")]
    assert near_duplicates(texts) == [(2, 0)]


def test_pairs_across_two_sets_name_a_row_of_each() -> None:
    assert near_duplicates(["a bank", POST + "!"], [POST, "a game"]) == [(1, 0)]


def test_a_pair_that_lies_in_two_slices_is_found() -> None:
    words = np.random.default_rng(0).integers(10_000, 99_999, (SLICE + 5, 8)).astype(str)
    texts = [" ".join(row) for row in words]
    texts[SLICE + 3] = texts[7] + "."
    assert near_duplicates(texts) == [(SLICE + 3, 7)]


def test_nothing_to_compare_is_no_error() -> None:
    assert near_duplicates([]) == []
    assert near_duplicates([POST], []) == []
    assert near_duplicates(["", " "]) == []


def test_blanks_and_capitals_make_no_other_text() -> None:
    texts = [("A  b", "c"), ("a b", "d"), ("a b ", "C")]
    assert duplicate_rows(texts).tolist() == [2]


GIVEN = np.array([0, 0, 0, 1, 1])
SAID = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.45, 0.55]])
# Thresholds: (0.9 + 0.8 + 0.1) / 3 = 0.6 for one label, (0.7 + 0.55) / 2 = 0.625 for the other.


def test_a_row_surer_of_another_label_than_its_own_rows_are_is_a_suspect() -> None:
    assert find_label_issues(SAID, GIVEN).tolist() == [2]


def test_a_row_that_no_label_is_sure_of_is_none() -> None:
    said = np.vstack([SAID, [[0.52, 0.48]]])
    assert 5 not in find_label_issues(said, np.append(GIVEN, 1))


def test_the_worst_comes_first() -> None:
    said = np.vstack([SAID, [[0.99, 0.01]]])
    found = find_label_issues(said, np.append(GIVEN, 1))
    assert found.tolist() == [5, 2]


def test_a_label_without_rows_makes_no_suspects() -> None:
    said = np.array([[0.1, 0.1, 0.8], [0.05, 0.2, 0.75]])
    assert find_label_issues(said, np.array([0, 1])).tolist() == []


def test_no_rows_are_no_error() -> None:
    assert find_label_issues(np.zeros((0, 3)), np.zeros(0, np.int64)).tolist() == []
