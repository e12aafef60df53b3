"""Scoring and training as most people write them: what ours is set beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

MAX_LENGTH = 256
BATCH = 32


def plain_inputs(tokenizer: Any, texts: Sequence[str], device: torch.device) -> Any:
    """Fill the pattern, tokenise in the loop, pad to the maximum."""
    filled = [f"category: {tokenizer.mask_token}. {text}" for text in texts]
    return tokenizer(
        filled, truncation=True, padding="max_length", max_length=MAX_LENGTH, return_tensors="pt"
    ).to(device)


def plain_scores(module: Any, tokenizer: Any, texts: Sequence[str], words: list[int]) -> Any:
    """Compute full logits of all places, then take the mask's for the words. [rows, words]"""
    module.eval()
    device = next(module.parameters()).device
    found = []
    with torch.no_grad():
        for start in range(0, len(texts), BATCH):
            inputs = plain_inputs(tokenizer, texts[start : start + BATCH], device)
            logits = module(**inputs).logits
            masks = (inputs["input_ids"] == tokenizer.mask_token_id).int().argmax(1)
            found.append(logits[torch.arange(len(logits)), masks][:, words].cpu())
    return torch.cat(found)


def plain_training(
    module: Any, tokenizer: Any, texts: Sequence[str], words: list[int], targets: list[int],
    batch_size: int,
) -> None:  # fmt: skip
    """Train one epoch: cross-entropy over the label words at the mask."""
    module.train()
    device = next(module.parameters()).device
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-5)
    for start in range(0, len(texts), batch_size):
        inputs = plain_inputs(tokenizer, texts[start : start + batch_size], device)
        logits = module(**inputs).logits
        masks = (inputs["input_ids"] == tokenizer.mask_token_id).int().argmax(1)
        scores = logits[torch.arange(len(logits)), masks][:, words]
        own = torch.tensor(targets[start : start + batch_size], device=device)
        functional.cross_entropy(scores, own).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
