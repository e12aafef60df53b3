"""A language model's head, applied only where it is asked, and only for the words that matter."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, functional


@contextlib.contextmanager
def head_at(backbone: Module, rows: Tensor, columns: Tensor) -> Iterator[list[bool]]:
    """Let the head see the hidden states at these places only, whatever the architecture.

    Nearly every language model of transformers computes its head from the first output of its
    backbone, so a hook that gathers there works for all of them alike. The few that reach past
    their backbone (OPT) leave the yielded list empty, and the caller gathers from all logits.
    """
    gathered: list[bool] = []

    def gather(_module: Any, _inputs: Any, output: Any) -> Any:
        output["last_hidden_state"] = output[0][rows, columns]
        gathered.append(True)
        return output

    handle = backbone.register_forward_hook(gather)
    try:
        yield gathered
    finally:
        handle.remove()


@contextlib.contextmanager
def head_for(module: Any, vocabulary: Sequence[int] | None) -> Iterator[None]:
    """Let the output layer compute these words only."""
    if vocabulary is None:
        yield
        return
    layer = module.get_output_embeddings()
    ids = torch.tensor(vocabulary, device=layer.weight.device)

    def some_rows(hidden: Tensor) -> Tensor:
        bias = None if layer.bias is None else layer.bias[ids]
        return functional.linear(hidden, layer.weight[ids], bias)

    layer.forward = some_rows
    try:
        yield
    finally:
        del layer.forward
