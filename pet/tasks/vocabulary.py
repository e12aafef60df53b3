"""How well a tokenizer's vocabulary suits texts: tokens that it does not know, tokens a word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers.pre_tokenizers import BertPreTokenizer

from pet.tasks.encoding import tokenize

TEXTS, CHARACTERS = 1000, 1000  # that are looked at: texts, and of each

MOST_UNKNOWN = 0.05  # of the tokens; emoji in English texts stay below

# English has 1.1 to 1.4; German read by an English model 2; Finnish, Russian or Arabic 2.7 to 5,
# and 1 to 2 if the vocabulary was made for them.
MOST_PER_WORD = 2.5

# Thai, Lao, Burmese, Khmer, Japanese, Chinese: words are not set apart, and are about two
# characters long.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class VocabularyFit:
    """How a tokenizer reads some texts.

    Attributes:
        unknown: the share of tokens that stand for anything that is not in the vocabulary.
        per_word: tokens a word, of words without digits.
    """

    unknown: float
    per_word: float

    @property
    def suits(self) -> bool:
        """Whether a model with this vocabulary can have learned the language of the texts."""
        return self.unknown < MOST_UNKNOWN and self.per_word < MOST_PER_WORD

    def __str__(self) -> str:
        if self.unknown >= MOST_UNKNOWN:
            return f"{self.unknown:.0%} of the tokens are unknown"
        return f"{self.per_word:.1f} tokens a word"


def vocabulary_fit(tokenizer: Any, texts: Sequence[str]) -> VocabularyFit:
    """Measure how a tokenizer reads texts, by the first of them."""
    some = [text[:CHARACTERS] for text in texts[:TEXTS]]
    longest = 4 * CHARACTERS  # a token for every byte
    ids = tokenize(tokenizer, some, longest, False).ids
    unknown = tokenizer.unk_token_id
    words = [_words(text) for text in some]
    spelled = tokenize(tokenizer, [" ".join(own) for own in words], longest, True).ids
    count = sum(_word_count(word) for own in words for word in own)
    return VocabularyFit(
        float((ids == unknown).mean()) if len(ids) and unknown is not None else 0.0,
        len(spelled) / count if count else 0.0,
    )


def _words(text: str) -> list[str]:
    """The runs between blanks and punctuation that have letters and no digits."""
    pieces = (piece for piece, _ in BertPreTokenizer().pre_tokenize_str(text))
    return [
        piece
        for piece in pieces
        if any(map(str.isalpha, piece)) and not any(map(str.isdigit, piece))
    ]


def _word_count(piece: str) -> float:
    return len(UNSPACED.findall(piece)) / 2 or 1.0
