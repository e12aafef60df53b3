"""Whether a vocabulary was made for the language of the texts, by tokenizers of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast

from pet.tasks.vocabulary import vocabulary_fit
from tests.support import samples, tiny_models

CHINESE = ["这个酒店的房间很干净", "早餐的种类太少，价格有点贵。"]
RUSSIAN = ["Товар пришёл с опозданием, упаковка была повреждена."]
ENGLISH = [text for text, _ in samples.labeled_rows()]


def characters_of(texts: list[str]) -> PreTrainedTokenizerFast:
    """A vocabulary of Chinese characters, as Chinese BERT's is."""
    letters = sorted(set("".join(texts)))
    vocabulary = {token: n for n, token in enumerate(["[PAD]", "[UNK]", *letters])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")


@pytest.mark.parametrize(
    ("make", "texts", "found"),
    [
        (tiny_models.wordpiece_tokenizer, CHINESE, "are unknown"),
        (tiny_models.unigram_tokenizer, CHINESE, "are unknown"),
        (tiny_models.causal_tokenizer, CHINESE, "tokens a word"),
        (tiny_models.roberta_tokenizer, RUSSIAN, "tokens a word"),
    ],
)
def test_a_vocabulary_of_another_language_does_not_suit(
    make: Callable[[], Any], texts: list[str], found: str
) -> None:
    """Check said that nothing stood in the way where three of four tokens were [UNK]."""
    fit = vocabulary_fit(make(), texts)
    assert not fit.suits
    assert found in str(fit)


@pytest.mark.parametrize(
    "make",
    [
        tiny_models.wordpiece_tokenizer,
        tiny_models.unigram_tokenizer,
        tiny_models.causal_tokenizer,
        tiny_models.roberta_tokenizer,
    ],
)
def test_a_vocabulary_of_the_texts_suits(make: Callable[[], Any]) -> None:
    fit = vocabulary_fit(make(), ENGLISH)
    assert fit.suits
    assert fit.unknown == 0
    assert fit.per_word >= 1


def test_a_vocabulary_of_characters_suits_a_language_without_blanks() -> None:
    fit = vocabulary_fit(characters_of(CHINESE), CHINESE)
    assert fit.suits
    assert fit.unknown == 0


def test_numbers_say_nothing_about_a_language() -> None:
    """Every id of a log is many tokens in any vocabulary."""
    texts = [f"the bank 0x7f3a9b{n}c41e said 20231104102233" for n in range(9)]
    assert vocabulary_fit(tiny_models.causal_tokenizer(), texts).per_word < 2


def test_no_texts_fit_any_vocabulary() -> None:
    assert vocabulary_fit(tiny_models.wordpiece_tokenizer(), []).suits
    assert vocabulary_fit(tiny_models.wordpiece_tokenizer(), ["", " "]).suits
