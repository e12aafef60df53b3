"""From texts to token ids: texts are tokenised once, patterns are spliced around them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pet.config import LongTexts
from pet.errors import InputError, Problem, first_line, is_panic
from pet.tasks.patterns import Boundary, MaskSlot
from pet.tasks.windows import MOST, count_windows, window_starts

Ids = NDArray[np.int32]

# A text is cut to this many characters per token before it is tokenised, so that a row of
# megabytes costs no more than its first page. Words of natural text are far shorter.
CHARACTERS_PER_TOKEN = 32

SLICE = 1000  # texts tokenised at once: the tokenizer keeps much more of each than its ids

# How a kind of model is asked for a word: at mask tokens in its place; as what follows the text;
# of models of encoder and decoder, at a token of T5's in its place, or as the answer to the text.
Reading = Literal["masked", "causal", "sentinel", "end"]

AT_END = frozenset[Reading]({"causal", "end"})  # where the mask has to be last, and leaves no token

SENTINEL = "<extra_id_0>"  # T5's token for the first words that are left out of a text

PLACEHOLDER = "it"  # stands for a text while what is around it is tokenised


@dataclass(frozen=True)
class TokenizedTexts:
    """Token ids of many texts, one after another; text i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: Ids
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, pieces: Sequence[Ids]) -> TokenizedTexts:
        """Put the tokens of each text behind those of the one before."""
        offsets = np.zeros(len(pieces) + 1, dtype=np.int64)
        np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
        return cls(np.concatenate(pieces) if len(pieces) else np.zeros(0, np.int32), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Ids:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)


def tokenize(
    tokenizer: Any, texts: Sequence[str], max_length: int, space: bool, both_ends: bool = False
) -> TokenizedTexts:
    """Tokenise texts without special tokens, each cut to `max_length` tokens.

    Args:
        both_ends: of a longer text, the first and the last tokens are kept, half each.
        space: the text stands after a space in its pattern, which byte-level and SentencePiece
            vocabularies write into the first token.
    """
    lead = space_before_text(tokenizer) if space else ""
    backend = _for_texts(tokenizer)
    pieces: list[Ids] = []
    for start in range(0, len(texts), SLICE):
        led = [lead + text for text in texts[start : start + SLICE]]
        found = _first_tokens(backend, led, max_length + both_ends)
        pieces += _with_last_tokens(backend, led, found, max_length) if both_ends else found
    return TokenizedTexts.of(pieces)


def space_before_text(tokenizer: Any) -> str:
    """Return what makes a text by itself the tokens that it has after a space.

    A space; but nothing for vocabularies that write one before every text (Llama 2): with another
    one the text would have two of them.
    """
    ids = [
        tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        for text in (f"{PLACEHOLDER} {PLACEHOLDER}", PLACEHOLDER, f" {PLACEHOLDER}")
    ]
    twice, bare, spaced = ids
    return "" if twice == bare * 2 != bare + spaced else " "


def _first_tokens(backend: Any, texts: Sequence[str], max_length: int) -> list[Ids]:
    """Return the first tokens of each text, reading no more of it than they need."""
    pieces: list[Ids] = [np.zeros(0, np.int32)] * len(texts)
    rows, cut = list(range(len(texts))), max_length * CHARACTERS_PER_TOKEN
    while rows:
        encodings = _encode(backend, [texts[row][:cut] for row in rows])
        more = []
        for row, encoding in zip(rows, encodings, strict=True):
            pieces[row] = np.asarray(encoding.ids[:max_length], dtype=np.int32)
            if len(texts[row]) > cut and len(encoding.ids) <= max_length:
                more.append(row)  # pages of blanks, or words of hundreds of letters
        rows, cut = more, 2 * cut
    return pieces


def _with_last_tokens(
    backend: Any, texts: list[str], first: list[Ids], max_length: int
) -> list[Ids]:
    """Put the last tokens of each longer text in the place of the second half of its first ones.

    Args:
        first: one more than `max_length` of every longer text.
    """
    pieces, tail = list(first), max_length // 2
    rows = [row for row, ids in enumerate(first) if len(ids) > max_length]
    cut = max_length * CHARACTERS_PER_TOKEN
    while rows and tail:
        encodings = _encode(backend, [texts[row][-cut:] for row in rows])
        more = []
        for row, encoding in zip(rows, encodings, strict=True):
            last = np.asarray(encoding.ids[-tail:], dtype=np.int32)
            pieces[row] = np.concatenate([first[row][: max_length - tail], last])
            if len(texts[row]) > cut and len(encoding.ids) <= tail:
                more.append(row)
        rows, cut = more, 2 * cut
    return [piece[:max_length] for piece in pieces]


def cut_to(ids: Ids, length: int, both_ends: bool) -> Ids:
    """Cut tokens to a length: the first ones, or half of them from the end."""
    tail = length // 2 if both_ends and length < len(ids) else 0
    return np.concatenate([ids[: length - tail], ids[-tail:]]) if tail else ids[:length]


def _encode(backend: Any, texts: list[str]) -> list[Any]:
    try:
        return list(backend.encode_batch_fast(texts, add_special_tokens=False))
    except BaseException as error:
        if not is_panic(error):
            raise
        found, fix = first_line(error), "take another model, or copy it again"
        expected = "a tokenizer that can read every text"
        raise InputError(Problem("the model's tokenizer", expected, found, fix)) from error


# A copy for texts: one switch, set to and fro, would be seen by every thread that encodes.
_copies: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def _for_texts(tokenizer: Any) -> Any:
    """Return a copy of the tokenizer's inside to which "[MASK]" in a text is but a word."""
    found = _copies.get(tokenizer)
    if found is None:
        found = copy.deepcopy(tokenizer.backend_tokenizer)
        found.encode_special_tokens = True
        _copies[tokenizer] = found
    return found


def shorten(lengths: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """Cut field lengths [rows, fields] so that each row's sum fits; the longest give first."""
    order = np.argsort(lengths, axis=1, kind="stable")
    kept = np.zeros_like(lengths)
    left = np.full(len(lengths), budget, dtype=np.int64)
    fields = lengths.shape[1]
    rows = np.arange(len(lengths))
    for place in range(fields):  # the shortest field first: what it does not need, the others get
        column = order[:, place]
        share = np.minimum(lengths[rows, column], left // (fields - place))
        kept[rows, column] = share
        left -= share
    return kept


@dataclass(frozen=True)
class SpecialTokens:
    """What a tokenizer puts before, between and after the segments of a text, or of a pair.

    Attributes:
        types: the token types of these three, in order.
        first_type, second_type: token types of the segments; all are 0 where the model has none.
    """

    before: Ids
    between: Ids
    after: Ids
    types: tuple[Ids, ...]
    first_type: int
    second_type: int

    @classmethod
    def of(cls, tokenizer: Any, reading: Reading, pair: bool) -> SpecialTokens:
        """Learn them from the tokenizer itself, by encoding a placeholder, or a pair of them."""
        content = tokenizer(PLACEHOLDER, add_special_tokens=False)["input_ids"]
        encoding = tokenizer(PLACEHOLDER, PLACEHOLDER if pair else None)
        ids = encoding["input_ids"]
        types = encoding.get("token_type_ids") or [0] * len(ids)
        first = second = _find(ids, content, 0)
        if pair:
            second = _find(ids, content, first + len(content))
        end = second + len(content)
        # A causal model continues the text: nothing may stand after it.
        stop = end if reading == "causal" else len(ids)
        places = slice(first), slice(first + len(content), second), slice(end, stop)
        before, between, after = (np.asarray(ids[place], np.int32) for place in places)
        own = tuple(np.asarray(types[place], np.int32) for place in places)
        return cls(before, between, after, own, types[first], types[second])

    def fill_types(self, row: NDArray[np.int64], second: int | None) -> None:
        """Write a row's token types.

        Args:
            row: as many places as the row has tokens.
            second: where its second segment starts, if it has one.
        """
        before, between, after = self.types
        row[:] = self.first_type
        row[: len(before)] = before
        if second is not None:
            row[second - len(between) : second] = between
            row[second:] = self.second_type
        row[len(row) - len(after) :] = after


def _find(ids: list[int], content: list[int], start: int) -> int:
    for place in range(start, len(ids) - len(content) + 1):
        if ids[place : place + len(content)] == content:
            return place
    return start  # a tokenizer that writes the second text otherwise: no special tokens between


@dataclass(frozen=True)
class LabelWords:
    """The token ids of every label's words: label, then word, then token."""

    tokens: tuple[tuple[tuple[int, ...], ...], ...]

    @property
    def mask_counts(self) -> tuple[int, ...]:
        """The distinct numbers of tokens that words have."""
        return tuple(sorted({len(word) for word in self.distinct}))

    @property
    def distinct(self) -> list[tuple[int, ...]]:
        """Every word once, in order."""
        return sorted({word for words in self.tokens for word in words})


@dataclass(frozen=True)
class Batch:
    """Padded token ids of some rows, and where their masks stand.

    Attributes:
        ids, attention, types: [rows, tokens]
        masks: columns of the mask tokens [rows, masks]; where the word follows the text, the column
            before it.
    """

    ids: NDArray[np.int64]
    attention: NDArray[np.int64]
    types: NDArray[np.int64] | None
    masks: NDArray[np.int64]


def mask_token(tokenizer: Any, reading: Reading) -> int | None:
    """Return the token that stands in a word's place; None if the tokenizer has none such."""
    if reading == "sentinel":
        found: int | None = tokenizer.get_vocab().get(SENTINEL)
        return found
    own: int | None = tokenizer.mask_token_id
    return own


def joined(batches: Sequence[Batch], pad: int) -> Batch:
    """Put the rows of several batches into one, padded to the widest. Masks as many in each."""
    width = max(batch.ids.shape[1] for batch in batches)

    def widened(arrays: Iterable[NDArray[np.int64]], fill: int) -> NDArray[np.int64]:
        more = [np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=fill) for a in arrays]
        return np.concatenate(more)

    types = [batch.types for batch in batches if batch.types is not None]
    return Batch(
        widened((batch.ids for batch in batches), pad),
        widened((batch.attention for batch in batches), 0),
        widened(types, 0) if types else None,
        np.concatenate([batch.masks for batch in batches]),
    )


@dataclass(frozen=True)
class TextSlot:
    """Where a field's text goes in a compiled pattern, and whether a space stands before it."""

    name: str
    space: bool


class Encoder:
    """Splices tokenised fields into a compiled pattern; without a mask, plain classifier inputs.

    Attributes:
        offset: added to the scores: calibration against the labels' prior.
        long_texts: what is read of a longer text: its beginning, half of it from the end, or
            windows.
        by_probability: whether words are scored by log-probability among all words, even where
            each is of one token: a label that is asked by itself has no others to be held against.
        special: the tokens that every text has around it.
        prompt_end: the column behind the places of a soft prompt; 0 where there is none.
    """

    def __init__(
        self,
        tokenizer: Any,
        parts: list[Ids | TextSlot | MaskSlot | Boundary],
        words: LabelWords,
        reading: Reading,
        max_length: int,
        offset: NDArray[np.float32] | None = None,
        prompt_length: int = 0,
        *,
        long_texts: LongTexts = "head",
        by_probability: bool = False,
    ):
        self.words = words
        self.long_texts = long_texts
        self.by_probability = by_probability
        self.offset = offset
        self.max_length = max_length
        self.reading = reading
        self._both_ends = long_texts == "head-tail"
        self._parts = parts
        pair = any(isinstance(part, Boundary) for part in parts)
        self.special = SpecialTokens.of(tokenizer, reading, pair)
        self._pad = tokenizer.pad_token_id
        self._mask = mask_token(tokenizer, reading)
        # Where a soft prompt's vectors go, there stand tokens that count as text, unlike padding.
        stand_in = self._pad if self._mask is None else self._mask
        prompt = np.full(prompt_length, stand_in, np.int32)
        self._before = np.concatenate([self.special.before, prompt])
        self.prompt_end = len(self._before) if prompt_length else 0
        self._typed = "token_type_ids" in tokenizer.model_input_names
        self.slots = tuple(part for part in parts if isinstance(part, TextSlot))
        fixed = sum(len(part) for part in parts if isinstance(part, np.ndarray))
        if pair:
            fixed += len(self.special.between)
        self._fixed = fixed + len(self._before) + len(self.special.after)
        # A causal model predicts from a token; where there is no text, and no word, it needs one.
        self._lone = np.full(1, self._pad, np.int32)

    @property
    def by_logits(self) -> bool:
        """Whether raw logits of one place are the scores: words of one token, and no more."""
        return self.words.mask_counts == (1,) and not self.by_probability

    @property
    def fixed_ids(self) -> list[int]:
        """The tokens of the pattern's own words, in order."""
        pieces = [part for part in self._parts if isinstance(part, np.ndarray)]
        return [int(token) for piece in pieces for token in piece]

    @property
    def ending(self) -> Ids:
        """The tokens that follow the last text, before the word that a causal model predicts."""
        pieces = [self._parts[place] for place in range(self._text_end, len(self._parts))]
        own = [piece for piece in pieces if isinstance(piece, np.ndarray)]
        return np.concatenate(own) if own and self.slots else np.zeros(0, np.int32)

    @property
    def _text_end(self) -> int:
        """How many parts there are up to the last text."""
        places = [n for n, part in enumerate(self._parts, 1) if isinstance(part, TextSlot)]
        return places[-1] if places else 0

    def text_key(self) -> tuple[object, ...]:
        """What encoders have alike that share their tokens up to the end of the text.

        Of several fields, or of more than the beginning, the budget is among it: by it each of
        them is cut.
        """
        head = [
            tuple(part.tolist()) if isinstance(part, np.ndarray) else part
            for part in self._parts[: self._text_end]
        ]
        alike = len(self.slots) == 1 and self.long_texts == "head"
        budget = None if alike else self.budget()
        return (tuple(self._before.tolist()), *head, self.max_length, budget)

    def text_lengths(
        self, texts: Mapping[TextSlot, TokenizedTexts], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Tokens of each row up to the end of its text, of all its windows. [rows]"""
        lengths = self._field_lengths(texts, rows)
        own = lengths.sum(axis=1) + self._fixed - len(self.ending)
        return own * self._count_windows(texts, rows, lengths)

    def text_batch(
        self, texts: Mapping[TextSlot, TokenizedTexts], rows: NDArray[np.int64]
    ) -> Batch:
        """Fill the rows up to the end of their text. Its masks are of no use."""
        lengths = self._field_lengths(texts, rows)
        filled = []
        for row, kept in zip(rows, lengths, strict=True):
            pieces, field = [self._before], 0
            for part in self._parts[: self._text_end]:
                if isinstance(part, TextSlot):
                    pieces.append(cut_to(texts[part][row], int(kept[field]), self._both_ends))
                    field += 1
                elif isinstance(part, np.ndarray):
                    pieces.append(part)
            filled.append(np.concatenate(pieces))
        width = max(len(ids) for ids in filled)
        ids = np.full((len(rows), width), self._pad, dtype=np.int64)
        attention = np.zeros((len(rows), width), dtype=np.int64)
        for index, own in enumerate(filled):
            ids[index, : len(own)] = own
            attention[index, : len(own)] = 1
        return Batch(ids, attention, None, np.zeros((len(rows), 0), dtype=np.int64))

    @property
    def longest_word(self) -> int:
        return max(self.words.mask_counts, default=0)

    def budget(self) -> int:
        """Tokens that remain for the fields."""
        return self.max_length - self._fixed - self.longest_word

    def _field_lengths(
        self, texts: Mapping[TextSlot, TokenizedTexts], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        full = np.stack([texts[slot].lengths[rows] for slot in self.slots], axis=1)
        return shorten(full, self.budget())

    def lengths(
        self, texts: Mapping[TextSlot, TokenizedTexts], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Tokens of each filled row, so that rows of like length can share a batch. [rows]

        The masks of the longest label word are counted in. Other models than masked ones take
        fewer: there it is a bound. Of texts in windows, of all of them together.
        """
        lengths = self._field_lengths(texts, rows)
        own = np.maximum(lengths.sum(axis=1) + self._fixed, 1) + self.longest_word
        return own * self._count_windows(texts, rows, lengths)

    @property
    def longest_text(self) -> int:
        """Tokens of a field that are read at the most."""
        return self.max_length * self.most_windows

    @property
    def most_windows(self) -> int:
        """Windows of a text at the most; one where none are cut."""
        return MOST if self.long_texts == "windows" else 1

    def _count_windows(
        self,
        texts: Mapping[TextSlot, TokenizedTexts],
        rows: NDArray[np.int64],
        kept: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Return how many windows each row takes: one, but for texts in windows. [rows]"""
        if self.long_texts != "windows":
            return np.ones(len(rows), dtype=np.int64)
        full = np.stack([texts[slot].lengths[rows] for slot in self.slots], axis=1)
        return count_windows(full, kept)

    def windows(
        self, texts: Mapping[TextSlot, TokenizedTexts], rows: NDArray[np.int64]
    ) -> tuple[dict[TextSlot, TokenizedTexts], NDArray[np.int64]]:
        """Return the rows' windows as texts of their own, row after row, and how many each has."""
        kept = self._field_lengths(texts, rows)
        counts = self._count_windows(texts, rows, kept)
        found = {}
        for place, slot in enumerate(self.slots):
            pieces = []
            for row, own, count in zip(rows, kept[:, place], counts, strict=True):
                ids = cut_to(texts[slot][row], int(own) * MOST, both_ends=True)
                pieces += [ids[n : n + own] for n in window_starts(len(ids), int(own), int(count))]
            found[slot] = TokenizedTexts.of(pieces)
        return found, counts

    def batch(
        self, texts: Mapping[TextSlot, TokenizedTexts], rows: NDArray[np.int64], masks: int = 1
    ) -> Batch:
        """Fill the pattern with each row's texts; `masks` mask tokens stand for the word."""
        lengths = self._field_lengths(texts, rows)
        filled = [
            self._fill(texts, row, kept, masks) for row, kept in zip(rows, lengths, strict=True)
        ]
        width = max(len(ids) for ids, _, _ in filled)
        ids = np.full((len(rows), width), self._pad, dtype=np.int64)
        attention = np.zeros((len(rows), width), dtype=np.int64)
        types = np.zeros((len(rows), width), dtype=np.int64) if self._typed else None
        places = np.zeros((len(rows), masks if self.words.tokens else 0), dtype=np.int64)
        for index, (row_ids, mask, second) in enumerate(filled):
            ids[index, : len(row_ids)] = row_ids
            attention[index, : len(row_ids)] = 1
            if types is not None:
                self.special.fill_types(types[index, : len(row_ids)], second)
            if mask is not None:
                places[index] = mask + np.arange(masks)
        return Batch(ids, attention, types, places)

    def _places(self, masks: int) -> int:
        """How many tokens stand in the word's place."""
        if self.reading in AT_END:
            return 0
        return 1 if self.reading == "sentinel" else masks

    def _fill(
        self,
        texts: Mapping[TextSlot, TokenizedTexts],
        row: int,
        kept: NDArray[np.int64],
        masks: int,
    ) -> tuple[Ids, int | None, int | None]:
        """Return one row's ids, the column of its mask, and where its second segment starts."""
        pieces = [self._before if self._fixed or kept.sum() else self._lone]
        length, field = len(pieces[0]), 0
        mask = second = None
        for part in self._parts:
            if isinstance(part, TextSlot):
                piece = cut_to(texts[part][row], int(kept[field]), self._both_ends)
                field += 1
            elif isinstance(part, MaskSlot):
                # A causal model predicts the word from the token before it.
                mask = length - 1 if self.reading in AT_END else length
                piece = np.full(self._places(masks), self._mask or 0, np.int32)
            elif isinstance(part, Boundary):
                piece = self.special.between
                second = length + len(piece)
            else:
                piece = part
            pieces.append(piece)
            length += len(piece)
        pieces.append(self.special.after)
        return np.concatenate(pieces), mask, second
