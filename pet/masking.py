"""Tokens hidden from a masked model, for the loss that it was pre-trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pet.encoding import Batch


def mask_tokens(
    batch: Batch, tokenizer: Any, vocabulary: int
) -> tuple[Batch, NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Hide tokens; return the changed batch, the tokens hidden, and their rows and columns.

    Args:
        vocabulary: how many tokens there are to draw others from.
    """
    allowed = (batch.attention == 1) & ~np.isin(batch.ids, tokenizer.all_special_ids)
    chance = torch.rand(*batch.ids.shape, 2).numpy()
    chosen = allowed & (chance[..., 0] < 0.15)
    ids = batch.ids.copy()
    ids[chosen & (chance[..., 1] < 0.8)] = tokenizer.mask_token_id
    replaced = chosen & (chance[..., 1] >= 0.9)
    ids[replaced] = torch.randint(vocabulary, (int(replaced.sum()),)).numpy()
    rows, columns = np.nonzero(chosen)
    hidden = Batch(ids, batch.attention, batch.types, batch.masks)
    return hidden, batch.ids[chosen], (rows, columns)
