"""Words of one token, whatever writes them: WordPiece, byte-level BPE, SentencePiece."""

from __future__ import annotations

import pytest

from pet.config import ModelRef
from pet.models.loading import load_tokenizer
from pet.tasks.patterns import parse_pattern
from pet.tasks.whole_words import is_whole, is_written_so, whole_words
from tests.conftest import ModelFolder


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm_roberta", "llama", "gpt2", "opt"])
@pytest.mark.parametrize("template", ["{text} this is about {mask}", "{mask} : {text}"])
def test_every_word_is_the_token_that_stands_at_the_mask(
    model_folder: ModelFolder, kind: str, template: str
) -> None:
    tokenizer = load_tokenizer(ModelRef(str(model_folder(kind))))
    pattern, _ = parse_pattern("p", template, ["text"], "t")
    assert pattern is not None
    found = whole_words(tokenizer, pattern, "sport")
    written = [word for word in found if is_written_so(tokenizer, pattern, word, found)]
    if "this" in template:
        assert {"sport", "rocket", "market"} <= set(written)
    assert not {"##man", "man", "was it", "is", "[MASK]"} & set(written)
    assert len({word.casefold() for word in found}) == len(found)


@pytest.mark.parametrize(
    ("word", "whole"),
    [("game", True), ("spiel", True), ("运动", True), ("球", True), ("ab", False), ("a1c", False),
     ("it's", False), ("", False), ("x" * 21, False), ("\x1b[31m", False), ("été", True)],
)  # fmt: skip
def test_only_words_of_letters_are_proposed(word: str, whole: bool) -> None:
    assert is_whole(word) is whole
