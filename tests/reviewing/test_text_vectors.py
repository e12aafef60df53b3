"""Texts as vectors: like texts lie close, whatever is in them."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.row_selection import text_vectors

LONG = " ".join(f"word{n}" for n in range(150))


def test_texts_of_one_subject_lie_closer_than_others() -> None:
    texts = ["rocket to the moon", "moon rocket", "bank of money", "money in a bank",
             "game of a team", "team game"]  # fmt: skip
    vectors = text_vectors(texts, seed=1)
    near = vectors @ vectors.T
    for first in (0, 2, 4):
        assert near[first].argsort()[-2] == first + 1


@pytest.mark.parametrize(
    "texts",
    [
        ["one"],
        ["same", "same"],
        ["...", "!!!"],
        ["", "a"],
        ["日本語", "中文"],
        ["a b"] * 150,
        [LONG] * 150,
    ],
)
def test_odd_texts_still_get_vectors_of_length_one(texts: list[str]) -> None:
    vectors = text_vectors(texts, seed=1)
    assert len(vectors) == len(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)


def test_the_same_texts_give_the_same_vectors() -> None:
    texts = [f"word{n % 7} word{n % 5} and {n}" for n in range(200)]
    first = text_vectors(texts, seed=1)
    assert first.shape == (200, 100)
    np.testing.assert_array_equal(text_vectors(texts, seed=1), first)
