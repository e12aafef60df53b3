"""Tokens hidden for the loss of pre-training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pet.models.cloze_model import mask_tokens
from pet.tasks.encoding import Batch
from tests import tiny_models


def test_hidden_tokens_are_never_special_padding_or_the_patterns_own_mask() -> None:
    tokenizer = tiny_models.wordpiece_tokenizer()
    words = list(range(len(tokenizer)))
    plain = [word for word in words if word not in tokenizer.all_special_ids][:8]
    row = [tokenizer.cls_token_id, *plain, tokenizer.mask_token_id, tokenizer.sep_token_id]
    ids = np.array([row + [tokenizer.pad_token_id] * 3] * 400)
    attention = (ids != tokenizer.pad_token_id).astype(np.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        hidden, targets, (rows, columns) = mask_tokens(
            Batch(ids, attention, None, np.zeros((400, 1), np.int64)),
            tokenizer,
            len(tokenizer),
        )
    assert set(targets.tolist()) <= set(plain)
    assert (ids[rows, columns] == targets).all()
    assert len(targets) / (400 * len(plain)) == pytest.approx(0.15, abs=0.02)
    masked = (hidden.ids[rows, columns] == tokenizer.mask_token_id).mean()
    assert masked == pytest.approx(0.8, abs=0.05)
    untouched = np.ones_like(ids, dtype=bool)
    untouched[rows, columns] = False
    assert (hidden.ids == ids)[untouched].all()
