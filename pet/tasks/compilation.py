"""Compile a pattern for a tokenizer: every fixed word and label word tokenised in its own place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import LongTexts
from pet.errors import InputError, Problem
from pet.tasks.encoding import (
    AT_END,
    PLACEHOLDER,
    Encoder,
    Ids,
    LabelWords,
    Reading,
    TextSlot,
    space_before_text,
)
from pet.tasks.patterns import Boundary, FieldSlot, MaskSlot, Pattern, Piece, Words

# What takes patterns with the mask last alone, by how it reads.
LAST_FOR = {"causal": "a causal model", "end": "mask=end"}


def plain_encoder(
    tokenizer: Any, fields: Sequence[str], max_length: int, *, long_texts: LongTexts = "head"
) -> Encoder:
    """Encode the fields as they are, for a classifier: one segment, or two."""
    parts: list[Any] = [TextSlot(fields[0], False)]
    for place, name in enumerate(fields[1:]):
        parts += [TextSlot(name, True)] if place else [Boundary(), TextSlot(name, False)]
    return Encoder(tokenizer, parts, LabelWords(()), "masked", max_length, long_texts=long_texts)


def pattern_encoder(
    tokenizer: Any,
    pattern: Pattern,
    verbalizer: Mapping[str, Sequence[str]],
    reading: Reading,
    max_length: int,
    offset: NDArray[np.float32] | None = None,
    prompt_length: int = 0,
    *,
    long_texts: LongTexts = "head",
    by_probability: bool = False,
) -> Encoder:
    """Compile a pattern for a tokenizer: every fixed word and label word in its own place.

    Args:
        offset: added to the scores.
        prompt_length: places for a soft prompt's vectors, behind the first special tokens.
        long_texts: what is read of a text that is longer; see `Encoder`.
        by_probability: see `Encoder`.

    Raises:
        InputError: a word that the tokenizer cannot write, two labels with the same tokens, a mask
            that is not last where the word follows the text, no room for the text. All at once.
    """
    problems = []
    if reading in AT_END and not pattern.mask_is_last:
        problems.append(
            Problem(
                f"pattern {pattern.name}",
                f"{{mask}} as the last thing, for {LAST_FOR[reading]}",
                repr(pattern.template),
                "move {mask} to the end, or leave this pattern out",
            )
        )
    else:
        pattern = as_read(pattern, reading)
    tokens = tuple(
        tuple(word_tokens(tokenizer, pattern, word) for word in words)
        for words in verbalizer.values()
    )
    problems += _word_problems(tokenizer, pattern, verbalizer, tokens)
    words = next(iter(verbalizer.values()))
    parts, _ = _compile(tokenizer, pattern, _filler(tokenizer, reading, words))
    distinct = LabelWords(tuple(tuple(dict.fromkeys(words)) for words in tokens))
    encoder = Encoder(
        tokenizer,
        parts,
        distinct,
        reading,
        max_length,
        offset,
        prompt_length,
        long_texts=long_texts,
        by_probability=by_probability,
    )
    problems += room_problems(encoder, pattern)
    if problems:
        raise InputError(problems)
    return encoder


def room_problems(encoder: Encoder, pattern: Pattern, kept: int = 0) -> list[Problem]:
    """Describe what keeps a pattern's fields from having a token each.

    Args:
        kept: tokens that other words may take.
    """
    room = encoder.budget() - kept
    if room >= len(pattern.fields):
        return []
    return [
        Problem(
            f"pattern {pattern.name}",
            f"room for the text within max_length {encoder.max_length}",
            f"{encoder.max_length - room} tokens of its own",
            "raise max_length",
        )
    ]


def longest_choice(max_length: int) -> int:
    """How many tokens of a choice are read."""
    return max_length // 4


def choice_encoder(
    tokenizer: Any, pattern: Pattern, choices: Sequence[str], reading: Reading, max_length: int
) -> Encoder:
    """Compile a pattern for one row, whose own texts are the labels' words (multiple choice).

    They are a file's texts: whatever they are, they get tokens, of which the first are read.
    """
    pattern = as_read(pattern, reading)
    unusable, unknown = set(tokenizer.all_special_ids), tokenizer.unk_token_id
    nothing = tokenizer.pad_token_id if unknown is None else unknown
    tokens = []
    for choice in choices:
        own = [token for token in word_tokens(tokenizer, pattern, choice) if token not in unusable]
        tokens.append((tuple(own[: longest_choice(max_length)]) or (nothing,),))
    parts, _ = _compile(tokenizer, pattern, _filler(tokenizer, reading, choices))
    return Encoder(tokenizer, parts, LabelWords(tuple(tokens)), reading, max_length)


def word_tokens(tokenizer: Any, pattern: Pattern, word: str) -> tuple[int, ...]:
    """Return the token ids of a label word where it stands in the filled pattern."""
    return tuple(_compile(tokenizer, pattern, word)[1])


def _filler(tokenizer: Any, reading: Reading, words: Sequence[str]) -> str:
    """Choose what stands at the mask while a pattern is tokenised."""
    return str(tokenizer.mask_token) if reading == "masked" else words[0]


def as_read(pattern: Pattern, reading: Reading) -> Pattern:
    """Make a pattern one running text, but for masked models: these alone know segments.

    Where the word follows the text, nothing stands behind it.
    """
    if reading == "masked":
        return pattern
    kept = pattern.pieces
    if reading in AT_END:
        kept = kept[: kept.index(MaskSlot()) + 1]
    pieces: list[Piece] = [Words(" ") if isinstance(own, Boundary) else own for own in kept]
    return replace(pattern, pieces=tuple(pieces))


def _compile(tokenizer: Any, pattern: Pattern, filler: str) -> tuple[list[Any], list[int]]:
    """Tokenise the pattern with `filler` at the mask; return its parts and the filler's tokens.

    The whole pattern is tokenised at once, and each token goes to the piece in which its last
    character stands: so a word gets the leading space and the casing of its place, whatever the
    kind of vocabulary.
    """
    parts: list[Any] = []
    filler_ids: list[int] = []
    before: Piece | None = None
    for piece, ids in _tokens_by_piece(tokenizer, pattern, filler):
        if isinstance(piece, Words):
            if len(ids):
                parts.append(ids)
        elif isinstance(piece, FieldSlot):
            spaced = isinstance(before, Words) and before.text.endswith(" ")
            parts.append(TextSlot(piece.name, spaced))
        else:
            parts.append(piece)
        before = piece
        if isinstance(piece, MaskSlot):
            filler_ids = [int(token) for token in ids]
    return parts, filler_ids


def _tokens_by_piece(tokenizer: Any, pattern: Pattern, filler: str) -> list[tuple[Any, Ids]]:
    found: list[tuple[Any, Ids]] = []
    segment: list[Any] = []
    for piece in [*pattern.pieces, None]:
        if piece is None or isinstance(piece, Boundary):
            found += _tokens_of_segment(tokenizer, segment, filler)
            found += [(piece, np.zeros(0, np.int32))] if piece is not None else []
            segment = []
        else:
            segment.append(piece)
    return found


def _tokens_of_segment(tokenizer: Any, pieces: list[Any], filler: str) -> list[tuple[Any, Ids]]:
    shown = [
        piece.text
        if isinstance(piece, Words)
        else filler
        if isinstance(piece, MaskSlot)
        else PLACEHOLDER
        for piece in pieces
    ]
    text = "".join(shown)
    ends = np.cumsum([len(part) for part in shown])
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    ids: list[list[int]] = [[] for _ in pieces]
    for token, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        place = int(np.searchsorted(ends, max(end - 1, start), side="right"))
        begins = start + len(text[start:end]) - len(text[start:end].lstrip())
        if begins < (ends[place - 1] if place else 0):
            return _tokens_one_by_one(tokenizer, pieces, shown)
        ids[min(place, len(pieces) - 1)].append(token)
    return [(piece, np.asarray(own, np.int32)) for piece, own in zip(pieces, ids, strict=True)]


def _tokens_one_by_one(
    tokenizer: Any, pieces: list[Any], shown: list[str]
) -> list[tuple[Any, Ids]]:
    """Tokenise each piece alone, where one token would have covered two of them (`{text}s`)."""
    alone, space = [], space_before_text(tokenizer)
    for place, (piece, text) in enumerate(zip(pieces, shown, strict=True)):
        lead = space if place and shown[place - 1].endswith(" ") else ""
        body = text.rstrip(" ") if isinstance(piece, Words) else text
        ids = tokenizer.backend_tokenizer.encode(lead + body, add_special_tokens=False).ids
        alone.append((piece, np.asarray(ids, np.int32)))
    return alone


def _word_problems(
    tokenizer: Any,
    pattern: Pattern,
    verbalizer: Mapping[str, Sequence[str]],
    tokens: tuple[tuple[tuple[int, ...], ...], ...],
) -> list[Problem]:
    problems, seen = [], dict[tuple[int, ...], str]()
    for (label, words), ids_of_words in zip(verbalizer.items(), tokens, strict=True):
        for word, ids in zip(words, ids_of_words, strict=True):
            where = f"pattern {pattern.name}, label {label!r}, word {word!r}"
            if not ids or (tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids):
                problems.append(
                    Problem(
                        where,
                        "a word that the model's vocabulary can write",
                        "nothing" if not ids else "an unknown token",
                        "choose another word, or a model that can read its language, such as "
                        "--model xlm-roberta-base",
                    )
                )
            elif set(ids) & set(tokenizer.all_special_ids):
                problems.append(
                    Problem(
                        where,
                        "a word of the language",
                        "a special token of the model",
                        "choose another word",
                    )
                )
            elif seen.get(ids, label) != label:
                problems.append(
                    Problem(
                        where,
                        "words that the model can tell apart",
                        f"the same tokens as a word of {seen[ids]!r}",
                        "choose another word",
                    )
                )
            seen.setdefault(ids, label)
    return problems
