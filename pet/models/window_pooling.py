"""Texts that are read in windows: a row's outputs are the mean of those of its windows.

The mean of scores is, but for what all labels have in common, the mean of log-probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pet.models.batching import Rows
from pet.tasks.encoding import Encoder, TextSlot, TokenizedTexts


def by_windows(
    ask: Callable[[Mapping[TextSlot, TokenizedTexts], Rows], Tensor],
    encoder: Encoder,
    texts: Mapping[TextSlot, TokenizedTexts],
    rows: Rows,
) -> Tensor:
    """Ask about the rows, or about their windows where the encoder cuts texts into some.

    Args:
        ask: (texts, rows) -> outputs. [..., rows, width]
    """
    if encoder.long_texts != "windows":
        return ask(texts, rows)
    windows, counts = encoder.windows(texts, rows)
    return mean_of_rows(ask(windows, np.arange(counts.sum())), counts)


def mean_of_rows(outputs: Tensor, counts: NDArray[np.int64]) -> Tensor:
    """Average the outputs of each row's windows. [..., windows, width] -> [..., rows, width]"""
    if outputs.shape[-2] == len(counts):
        return outputs  # each is its own mean
    parts = outputs.split(counts.tolist(), dim=-2)
    return torch.stack([own.mean(dim=-2) for own in parts], dim=-2)
