"""The words that a tokenizer writes as one token each, where a pattern's mask stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pet.tasks.compilation import word_tokens
from pet.tasks.patterns import Pattern
from pet.tasks.vocabulary import UNSPACED

BLANKS = ("Ġ", "▁")  # how byte-level and SentencePiece vocabularies write one before a word

SHORTEST, LONGEST = 3, 20  # letters; characters of scripts without blanks may stand alone


def whole_words(tokenizer: Any, pattern: Pattern, example: str) -> dict[str, int]:
    """Return words of letters that are one token at the pattern's mask, with that token.

    Inner pieces of words are not among them, nor what differs from another in case alone. A few
    may be written otherwise at some masks: `is_written_so` tells.

    Args:
        example: a word that the tokenizer can write, to see what stands before it there.
    """
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    special = set(tokenizer.all_special_ids)
    has_blanks = any(token.startswith(BLANKS) for token in vocabulary)
    (first, *_) = tokenizer.convert_ids_to_tokens(word_tokens(tokenizer, pattern, example)[:1])
    blank = first[0] if first.startswith(BLANKS) else ""
    found: dict[str, int] = {}
    seen: set[str] = set()
    for token, _ in sorted(vocabulary.items(), key=lambda own: own[1]):
        if has_blanks and not token.startswith(BLANKS):
            continue  # the start of a text or the middle of a word: nobody knows
        number = vocabulary.get(blank + token[1:]) if has_blanks else vocabulary[token]
        word = tokenizer.convert_tokens_to_string([token]).strip()
        if number is None or number in special or not is_whole(word) or word.casefold() in seen:
            continue
        seen.add(word.casefold())
        found[word] = number
    return found


def is_whole(word: str) -> bool:
    """Return whether it is a word of letters that a person would write as a label's."""
    if not word.isalpha() or len(word) > LONGEST:
        return False
    return len(word) >= SHORTEST or UNSPACED.fullmatch(word[0]) is not None


def is_written_so(tokenizer: Any, pattern: Pattern, word: str, tokens: Mapping[str, int]) -> bool:
    """Return whether a word is the one token at the pattern's mask that it is taken for."""
    return word_tokens(tokenizer, pattern, word) == (tokens[word],)
