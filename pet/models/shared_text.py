"""Several patterns of a causal model in one pass: the text is read once, by all of them.

Patterns that begin with the same tokens up to the end of their text differ in what follows it. In
one row stand the text, then every pattern's own end, then the tokens of its longer label words; the
attention mask lets each of them see the text, what it continues, and itself. A causal model's text
never sees what follows, so that the scores are those of separate passes but for rounding; so share
vLLM (Kwon et al. 2023) and Hydragen (Juravsky et al. 2024, arXiv 2402.05099) a common prefix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pet.models.batching import Rows
from pet.tasks.encoding import Encoder, TextSlot, TokenizedTexts

Word = tuple[int, ...]


def group_by_text(encoders: Sequence[Encoder]) -> list[list[int]]:
    """Group encoders by the tokens that they have up to the end of their text; places, in order."""
    groups: dict[object, list[int]] = {}
    for place, encoder in enumerate(encoders):
        key = encoder.text_key() if len(encoder.ending) else ("alone", place)
        groups.setdefault(key, []).append(place)
    return list(groups.values())


@dataclass(frozen=True)
class Branches:
    """What stands behind a text: every pattern's ending, and behind it its label words.

    Attributes:
        ids: tokens. [tokens]
        places: positions, counted from the end of the text. [tokens]
        visible: whether a token (row) sees another (column). [tokens, tokens]
        owners: the pattern that a token belongs to. [tokens]
        ends: the last token of each pattern's ending, which predicts a word's first. [patterns]
        words: for each pattern, by word of several tokens, the tokens that predict its others.
    """

    ids: NDArray[np.int64]
    places: NDArray[np.int64]
    visible: NDArray[np.bool_]
    owners: NDArray[np.int64]
    ends: list[int]
    words: list[dict[Word, list[int]]]

    def __len__(self) -> int:
        return len(self.ids)

    def word_scores(self, logs: Tensor, place: int, encoder: Encoder) -> dict[Word, Tensor]:
        """Sum the log-probabilities of each word's tokens. Each [rows]

        Args:
            logs: log p of the next token behind each token here. [rows, tokens, vocabulary]
            place: the pattern's.
        """
        scores = {}
        for word in encoder.words.distinct:
            columns = [self.ends[place], *self.words[place].get(word, [])]
            scores[word] = logs[:, columns, list(word)].sum(1)
        return scores

    @classmethod
    def of(cls, encoders: Sequence[Encoder]) -> Branches:
        """Lay out what follows the text in these encoders, which share it."""
        ids: list[int] = []
        places: list[int] = []
        owners: list[int] = []
        seen: list[list[int]] = []  # by token: those that it sees, itself too
        ends: list[int] = []
        words: list[dict[Word, list[int]]] = []

        def grow(owner: int, tokens: Sequence[int], start: int, before: list[int]) -> list[int]:
            own: list[int] = []
            for token in tokens:
                own.append(len(ids))
                ids.append(int(token))
                places.append(start + len(own) - 1)
                owners.append(owner)
                seen.append([*before, *own])
            return own

        for owner, encoder in enumerate(encoders):
            ending = grow(owner, encoder.ending.tolist(), 0, [])
            ends.append(ending[-1])
            longer = [word for word in encoder.words.distinct if len(word) > 1]
            words.append({w: grow(owner, w[:-1], len(ending), ending) for w in longer})
        visible = np.zeros((len(ids), len(ids)), dtype=bool)
        for token, others in enumerate(seen):
            visible[token, others] = True
        return cls(np.array(ids), np.array(places), visible, np.array(owners), ends, words)


def with_branches(
    branches: Branches,
    encoders: Sequence[Encoder],
    texts: Mapping[TextSlot, TokenizedTexts],
    rows: Rows,
    device: torch.device,
    *,
    additive: bool,
) -> tuple[dict[str, Tensor], int]:
    """Return the inputs of one pass over the rows, and the column at which the branches begin.

    Args:
        additive: the mask is added to attention weights, not a boolean one.
    """
    longest = max(encoders, key=lambda encoder: encoder.budget())
    text = longest.text_batch(texts, rows)
    width, count = text.ids.shape[1], len(branches)
    # A pattern may have room for less of the text than another. [rows, patterns]
    lengths = np.stack([encoder.text_lengths(texts, rows) for encoder in encoders], axis=1)
    ends = torch.from_numpy(lengths[:, branches.owners]).to(device)  # [rows, tokens]
    own = torch.from_numpy(branches.ids).to(device).expand(len(rows), -1)
    ids = torch.cat([torch.from_numpy(text.ids).to(device), own], dim=1)
    columns = torch.arange(width, device=device)
    places = ends + torch.from_numpy(branches.places).to(device)
    positions = torch.cat([columns.expand(len(rows), -1), places], dim=1)
    mask = torch.zeros(len(rows), 1, width + count, width + count, dtype=torch.bool, device=device)
    mask[:, :, :width, :width] = columns[None, :] <= columns[:, None]
    mask[:, 0, width:, :width] = columns < ends[..., None]
    mask[:, :, width:, width:] = torch.from_numpy(branches.visible).to(device)
    if additive:
        lowest = torch.finfo(torch.float32).min
        mask = torch.zeros(mask.shape, device=device).masked_fill(~mask, lowest)
    return {"input_ids": ids, "position_ids": positions, "attention_mask": mask}, width
