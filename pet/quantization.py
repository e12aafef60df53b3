"""Linear layers in int8, for as long as a model scores on a CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear

NARROWEST = 16  # features; narrower layers (LoRA's, most classifiers') are no work, and stay exact
LARGEST = 127.0  # of the values in an int8, symmetric around zero


@contextlib.contextmanager
def linears_in_int8(module: Any) -> Iterator[None]:
    """Let the linear layers of a module compute in int8 inside the block (dynamic quantisation).

    Weights get a scale for every output, inputs one for every token, as they come. A language
    model's output layer stays as it is: it computes next to nothing, and decides. Weights are not
    touched. Scores differ from float32's by one to seven hundredths of their range, by model.
    """
    head = getattr(module, "get_output_embeddings", lambda: None)()
    layers: list[Any] = [
        layer for layer in module.modules()
        if type(layer) is Linear and layer is not head
        and min(layer.in_features, layer.out_features) >= NARROWEST
    ]  # fmt: skip
    for layer in layers:
        layer.forward = _int8_forward(layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _int8_forward(layer: Linear) -> Callable[[Tensor], Tensor]:
    weight, of_output = _quantized(layer.weight.detach())
    weight, of_output = weight.t(), of_output.t()

    def forward(inputs: Tensor) -> Tensor:
        rows, of_token = _quantized(inputs.reshape(-1, layer.in_features))
        outputs = torch._int_mm(rows, weight).float().mul_(of_token).mul_(of_output)
        if layer.bias is not None:
            outputs.add_(layer.bias)
        return outputs.view(*inputs.shape[:-1], layer.out_features)

    return forward


def _quantized(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 values, and what one of them is worth in each row. [rows, n], [rows, 1]"""
    scale = values.abs().amax(1, keepdim=True).clamp_min_(1e-12).div_(LARGEST)
    return (values / scale).round_().to(torch.int8), scale
