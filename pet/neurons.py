"""Which neurons an adapter activates by itself (Su et al. 2022, arXiv 2111.06719: their ON)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Module
from transformers.activations import ACT2CLS

from pet.cloze_models import ClozeModel
from pet.encoding import SpecialTokens

_CLASSES: Any = tuple(own[0] if isinstance(own, tuple) else own for own in ACT2CLS.values())


def active_neurons(model: ClozeModel) -> NDArray[np.bool_] | None:
    """Say of every feed-forward neuron whether it is active where the model would answer.

    There is no text: the input is the adapter's prompt and a mask, with the tokens that every text
    has around it; for a causal model the prompt alone, whose last place is asked. A neuron is
    active where its activation function gives more than 0: of ReLU the paper's own measure, of
    GELU and SiLU the same half of the inputs; of a gated layer that is the gate.

    Returns:
        [neurons] of all layers; None where a model's activation functions are no modules.
    """
    ids, column = _question(model)
    inputs = torch.tensor([ids], device=model.device)
    model.module.eval()
    with torch.inference_mode(), _recording(model.module.base_model) as seen:
        model.forward({"input_ids": inputs, "attention_mask": torch.ones_like(inputs)})
    if not seen:
        return None
    # Some models have no dimension for the rows here: with one row that makes no difference.
    active = [layer.reshape(len(ids), -1)[column] > 0 for layer in seen]
    return torch.cat(active).cpu().numpy()


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the cosine of two activation states, each 0 or 1 per neuron: the measure ON."""
    both = float((one & other).sum())
    norms = (float(one.sum()) * float(other.sum())) ** 0.5
    return both / norms if norms else 0.0


def _question(model: ClozeModel) -> tuple[list[int], int]:
    """Return token ids, and the column that is asked."""
    tokenizer = model.tokenizer
    special = SpecialTokens.of(tokenizer, model.causal)
    length = 0 if model.adapter is None else model.adapter.prompt_length
    before = special.before.tolist()
    if model.causal:
        # Without a prompt and a first token of its own, it is asked what comes after anything.
        ids = [*before, *[tokenizer.pad_token_id] * length] or [tokenizer.pad_token_id]
        return ids, len(ids) - 1
    mask = tokenizer.mask_token_id
    return [*before, *[mask] * (length + 1), *special.after.tolist()], len(before) + length


@contextlib.contextmanager
def _recording(backbone: Module) -> Iterator[list[Tensor]]:
    """Collect what the activation functions of all layers say, in the order of the layers."""
    seen: list[Tensor] = []

    def record(_layer: Any, _inputs: Any, output: Tensor) -> None:
        seen.append(output.detach())

    layers = [layer for layer in backbone.modules() if isinstance(layer, _CLASSES)]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
