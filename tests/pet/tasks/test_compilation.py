"""Compiling patterns: label words as they stand in their place, and what cannot be asked."""

from __future__ import annotations

from typing import Any

import pytest

from pet.config import ModelRef
from pet.errors import InputError
from pet.models.loading import load_tokenizer
from pet.tasks.compilation import pattern_encoder, plain_encoder, word_tokens
from tests.conftest import ModelFolder
from tests.support.cloze import encoder_for, pattern


@pytest.fixture
def tokenizer_of(model_folder: ModelFolder) -> Any:
    return lambda kind: load_tokenizer(ModelRef(str(model_folder(kind))))


def tokens(tokenizer: Any, template: str, word: str) -> list[str]:
    return list(
        tokenizer.convert_ids_to_tokens(list(word_tokens(tokenizer, pattern(template), word)))
    )


@pytest.mark.parametrize(
    ("kind", "after_space", "at_start", "after_bracket"),
    [
        ("bert", ["sport"], ["sport"], ["sport"]),
        ("roberta", ["Ġsport"], ["s", "p", "ort"], ["s", "p", "ort"]),
        ("xlm_roberta", ["▁sport"], ["▁sport"], ["sport"]),
        ("llama", ["Ġsport"], ["s", "p", "ort"], ["s", "p", "ort"]),
    ],
)
def test_a_word_is_looked_up_in_its_place(
    tokenizer_of: Any,
    kind: str,
    after_space: list[str],
    at_start: list[str],
    after_bracket: list[str],
) -> None:
    """RoBERTa's `sport` and ` sport` are different words: the wrong one is never predicted."""
    tokenizer = tokenizer_of(kind)
    assert tokens(tokenizer, "{text} it is {mask}", "sport") == after_space
    assert tokens(tokenizer, "it is {mask}. {text}", "sport") == after_space
    assert tokens(tokenizer, "{mask} : {text}", "sport") == at_start
    assert tokens(tokenizer, "{text} ({mask})", "sport") == after_bracket


def test_casing_is_the_vocabularys(tokenizer_of: Any) -> None:
    assert tokens(tokenizer_of("bert"), "{text} {mask}", "SpOrt") == ["sport"]
    cased = tokens(tokenizer_of("roberta"), "{text} {mask}", "Sport")
    assert cased != ["Ġsport"]
    assert "".join(cased) == "ĠSport"


def test_a_word_next_to_punctuation_keeps_to_itself(tokenizer_of: Any) -> None:
    for kind, first in (("bert", "sport"), ("roberta", "Ġsport"), ("xlm_roberta", "▁sport")):
        assert tokens(tokenizer_of(kind), "{text} is {mask}!", "sport") == [first]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bert", ["rocket", "##man"]),
        ("roberta", ["Ġrocket", "m", "a", "n"]),
        ("xlm_roberta", ["▁rocket", "m", "a", "n"]),
    ],
)
def test_a_word_may_be_several_tokens(tokenizer_of: Any, kind: str, expected: list[str]) -> None:
    tokenizer = tokenizer_of(kind)
    assert tokens(tokenizer, "it is {mask}. {text}", "rocketman") == expected
    words = {"a": ("rocketman", "sport"), "b": ("money",)}
    encoder = encoder_for(tokenizer, "it is {mask}. {text}", words=words)
    assert encoder.words.mask_counts == (1, len(expected))
    assert encoder.longest_word == len(expected)


def test_words_of_several_words_are_one_answer(tokenizer_of: Any) -> None:
    assert tokens(tokenizer_of("roberta"), "{text} {mask}", "big money") == ["Ġbig", "Ġmoney"]


@pytest.mark.xfail(strict=True, reason="known limit: a word's lone ▁ is taken for the pattern's")
def test_a_word_that_sentencepiece_splits_keeps_its_first_piece(tokenizer_of: Any) -> None:
    """Common in Chinese: ▁ is a token of its own, and the model expects it before the word."""
    assert tokens(tokenizer_of("xlm_roberta"), "{text} {mask}", "qz") == ["▁", "q", "z"]


def problems_of(
    tokenizer: Any, template: str, words: dict[str, tuple[str, ...]], **more: Any
) -> Any:
    with pytest.raises(InputError, match="expected:") as caught:
        encoder_for(tokenizer, template, words=words, **more)
    return caught.value.problems


def test_a_word_that_the_vocabulary_cannot_write_is_refused(tokenizer_of: Any) -> None:
    problems = problems_of(tokenizer_of("bert"), "{text} {mask}", {"a": ("zebra",), "b": ("news",)})
    assert [problem.found for problem in problems] == ["an unknown token"]
    assert "label 'a', word 'zebra'" in problems[0].where


def test_a_word_of_no_tokens_is_refused(tokenizer_of: Any) -> None:
    """A word of zero tokens would score 0 for every text, without a word."""
    problems = problems_of(
        tokenizer_of("bert"), "{text} {mask}", {"a": ("\u200b",), "b": ("news",)}
    )
    assert [problem.found for problem in problems] == ["nothing"]


def test_two_labels_with_the_same_tokens_are_refused(tokenizer_of: Any) -> None:
    words = {"a": ("News",), "b": ("money", "news"), "c": ("sport",)}
    problems = problems_of(tokenizer_of("bert"), "{text} {mask}", words)
    assert [problem.found for problem in problems] == ["the same tokens as a word of 'a'"]
    assert "label 'b', word 'news'" in problems[0].where
    encoder_for(tokenizer_of("roberta"), "{text} {mask}", words=words)  # cased: not the same


def test_a_label_may_name_the_same_tokens_twice_and_they_count_once(tokenizer_of: Any) -> None:
    words = {"a": ("News", "news"), "b": ("money",)}
    encoder = encoder_for(tokenizer_of("bert"), "{text} {mask}", words=words)
    assert [len(of_label) for of_label in encoder.words.tokens] == [1, 1]


def test_a_causal_pattern_needs_its_mask_last(tokenizer_of: Any) -> None:
    words = {"a": ("sport",), "b": ("money",)}
    problems = problems_of(tokenizer_of("llama"), "{mask}: {text}", words, reading="causal")
    assert "as the last thing" in problems[0].expected
    encoder_for(tokenizer_of("llama"), "{text}: {mask}", words=words, reading="causal")


def test_a_pattern_that_leaves_no_room_is_refused(tokenizer_of: Any) -> None:
    words = {"a": ("sport",), "b": ("money",)}
    template = "it was a big new game and {text} is about {mask}"
    problems = problems_of(tokenizer_of("bert"), template, words, max_length=11)
    assert "room for the text within max_length 11" in problems[0].expected
    encoder_for(tokenizer_of("bert"), template, words=words, max_length=13)


def test_all_problems_of_a_pattern_come_at_once(tokenizer_of: Any) -> None:
    words = {"a": ("zebra",), "b": ("news",), "c": ("NEWS",)}
    template = "it was the {mask} and the {text}"
    with pytest.raises(InputError, match="zebra") as caught:
        pattern_encoder(tokenizer_of("bert"), pattern(template), words, "masked", 8)
    assert len(caught.value.problems) == 3


def test_plain_inputs_have_no_mask_and_at_most_two_segments(tokenizer_of: Any) -> None:
    encoder = plain_encoder(tokenizer_of("bert"), ["a", "b", "c"], 32)
    assert encoder.words.tokens == ()
    assert encoder.longest_word == 0
    assert encoder.budget() == 32 - 3
