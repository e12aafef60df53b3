"""Scoring and training as most people write them: what ours is set beside."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
    module: Any,
    tokenizer: Any,
    texts: Sequence[str],
    words: list[int],
    targets: list[int],
    batch_size: int,
    tick: Callable[[int], None],
) -> None:
    """Train one epoch: cross-entropy over the label words at the mask; `tick` after every step."""
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
        tick(1)


# The research code's job (timoschick/pet), with two shortcuts that it does not have: texts are
# tokenised once, and the head is applied at the masks alone. Every row is padded to its 128 tokens.
JOB_LENGTH, JOB_STEPS, JOB_BATCH, JOB_ROWS, SCORED_AT_ONCE = 128, 150, 8, 2000, 32
STUDENT_STEPS, STUDENT_BATCH = 300, 16


def research_job(
    patterns: Callable[[], list[Any]],
    student: Callable[[], Any],
    tokenizer: Any,
    fill: Sequence[Callable[[str], str]],
    words: list[int],
    labeled: tuple[Sequence[str], list[int]],
    pool: Sequence[str],
) -> float:
    """Train a model per pattern, let each score the pool, train a student; return the seconds.

    Args:
        patterns, student: load what is trained, a masked model per pattern and a classifier.
        fill: fill a text into each pattern.
        words: the token of each label.
        labeled: texts, and the number of the label of each.
    """
    started = time.perf_counter()
    said = []
    for module, filled in zip(patterns(), fill, strict=True):
        inputs = _padded(tokenizer, [filled(text) for text in labeled[0]])
        _optimize(
            module,
            len(labeled[1]),
            JOB_STEPS,
            JOB_BATCH,
            lambda rows, module=module, inputs=inputs: functional.cross_entropy(
                _at_masks(module, tokenizer, inputs, rows)[:, words],
                torch.tensor(labeled[1])[rows],
            ),
        )
        inputs = _padded(tokenizer, [filled(text) for text in pool])
        module.eval()
        with torch.no_grad():
            every = torch.arange(len(pool)).split(SCORED_AT_ONCE)
            scores = [_at_masks(module, tokenizer, inputs, rows)[:, words] for rows in every]
        said.append(torch.cat(scores))
    soft = torch.stack(said).mean(0).div(2.0).softmax(1)  # the paper's temperature
    module, inputs = student(), _padded(tokenizer, pool)

    def distil(rows: torch.Tensor) -> torch.Tensor:
        logits = module(**{name: tensor[rows] for name, tensor in inputs.items()}).logits
        return functional.kl_div((logits / 2.0).log_softmax(1), soft[rows], reduction="batchmean")

    _optimize(module, len(pool), STUDENT_STEPS, STUDENT_BATCH, distil)
    return time.perf_counter() - started


def _padded(tokenizer: Any, texts: Sequence[str]) -> Any:
    return tokenizer(
        list(texts),
        truncation=True,
        padding="max_length",
        max_length=JOB_LENGTH,
        return_tensors="pt",
    )


def _at_masks(module: Any, tokenizer: Any, inputs: Any, rows: torch.Tensor) -> torch.Tensor:
    own = {name: tensor[rows] for name, tensor in inputs.items()}
    hidden = module.bert(**own).last_hidden_state
    masks = (own["input_ids"] == tokenizer.mask_token_id).int().argmax(1)
    scores: torch.Tensor = module.cls(hidden[torch.arange(len(rows)), masks])
    return scores


def _optimize(
    module: Any, rows: int, steps: int, batch: int, loss: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-5)
    for step in range(steps):
        loss(torch.arange(step * batch, (step + 1) * batch) % rows).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
