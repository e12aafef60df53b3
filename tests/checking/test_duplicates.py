"""The same text twice, and nearly."""

from __future__ import annotations

import numpy as np

from pet.method.data_quality import SLICE, duplicate_rows, near_duplicates

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
