"""A student whose rows may leave before its last layer, where a layer's own head is sure of them.

DeeBERT (Xin et al. 2020, arXiv 2004.12993): heads on the frozen layers, and a threshold of
confidence. The student itself is not changed, and its own head is the last one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, functional

from pet.errors import InputError, Problem
from pet.method.linear_head import LinearHead
from pet.models.batching import Rows
from pet.models.fast_paths import FAMILY, keep_rows, restricted_to
from pet.models.model import Classifier, Texts, batch_tensors
from pet.tasks.encoding import Encoder


def layers_of(module: Any) -> Sequence[Module]:
    """Return the layers of a classifier of BERT's make, of which each row's first token counts.

    Raises:
        InputError: it is of another make, or has a single layer.
    """
    layers: Sequence[Module] = getattr(getattr(module.base_model, "encoder", None), "layer", ())
    if len(layers) < 2 or type(layers[0]).__name__ not in FAMILY:
        raise InputError(
            Problem(
                "setting student.exits",
                "a student of two layers or more like BERT's (BERT, MiniLM, RoBERTa, XLM-R, "
                "ELECTRA)",
                type(module).__name__,
                "leave it out, or name another --student-model",
            )
        )
    return layers


class LayerStates(Classifier):
    """A classifier that gives the states of its layers beside its scores."""

    @classmethod
    def of(cls, model: Classifier) -> LayerStates:
        return cls(model.module, model.tokenizer, model.device, precision=model.precision)

    def outputs(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the first token's states below the last layer, then the scores.

        Returns:
            [rows, (layers - 1) * width + labels], float32
        """
        inputs = batch_tensors(encoder.batch(texts, rows), self.device)
        output = self.forward({**inputs, "output_hidden_states": True})
        below = output.hidden_states[1:-1]
        return torch.cat([*(own[:, 0].float() for own in below), output.logits.float()], dim=1)


def confidence_of(module: Any, scores: Tensor) -> Tensor:
    """Return how likely a classifier's answer is: its label, or of several all answers. [rows]

    Args:
        module: the classifier, whose configuration says which.
        scores: [rows, labels]
    """
    if module.config.problem_type == "multi_label_classification":
        return functional.logsigmoid(scores.abs()).sum(-1).exp()
    return scores.softmax(-1).amax(-1)


class _Rows:
    """The rows of a batch: what is known of those that have left, and which are still there.

    Attributes:
        outputs: scores, and the layer that gave them. [rows, labels + 1]
        here: places of those that have not left. [rows still here]
    """

    def __init__(self, count: int, labels: int, device: torch.device):
        self.outputs = torch.zeros(count, labels + 1, device=device)
        self.here = torch.arange(count, device=device)

    def leave(self, sure: Tensor, scores: Tensor, layer: int) -> None:
        """Let rows leave with the scores of a layer, counted from 1. [rows still here], booleans"""
        places = self.here[sure]
        self.outputs[places, :-1] = scores[sure].float()
        self.outputs[places, -1] = layer
        self.here = self.here[~sure]


class _AllLeft(Exception):
    """No row is left for the layers above."""


# Of the thread that asks: a model may be asked by several at once.
_batch: ContextVar[_Rows | None] = ContextVar("batch", default=None)


class _Exit:
    """The head of a layer, which looks at what the next layer is about to read."""

    def __init__(self, plain: Classifier, layer: int, head: LinearHead, threshold: float):
        self._module, self._layer, self._threshold = plain.module, layer, threshold
        self._weight = torch.from_numpy(head.weight).to(plain.device)
        self._bias = torch.from_numpy(head.bias).to(plain.device)

    def __call__(self, _layer: Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        rows = _batch.get()
        if rows is None:
            return None
        hidden, mask, *others = inputs
        with torch.autocast(hidden.device.type, enabled=False):
            scores = hidden[:, 0].float() @ self._weight + self._bias
        sure = confidence_of(self._module, scores) >= self._threshold
        rows.leave(sure, scores, self._layer)
        if not len(rows.here):
            raise _AllLeft
        keep_rows(~sure)
        # Every layer gets the mask of the whole batch, and the states of those that are here.
        seen = mask if mask is None else mask[rows.here]
        return (hidden[~sure], seen, *others), named


class EarlyExitClassifier(Classifier):
    """A classifier of which rows may leave at heads of the layers below its last.

    A last column of its outputs is the layer that gave a row's scores, counted from 1.
    """

    def __init__(self, plain: Classifier, heads: Sequence[LinearHead], threshold: float):
        """Put heads behind the layers of a classifier that is nobody else's.

        Args:
            heads: of all layers but the last, in order.
            threshold: confidence from which on a row leaves.
        """
        super().__init__(plain.module, plain.tokenizer, plain.device, precision=plain.precision)
        self._layers = layers_of(plain.module)
        for number, (layer, head) in enumerate(zip(self._layers[1:], heads, strict=True), 1):
            exit_ = _Exit(plain, number, head, threshold)
            layer.register_forward_pre_hook(exit_, with_kwargs=True)

    def outputs(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return scores, and the layer that gave them. [rows, labels + 1], float32"""
        inputs = batch_tensors(encoder.batch(texts, rows), self.device)
        first = torch.zeros((len(rows), 1), dtype=torch.long, device=self.device)
        last = self.last_layer(self.module.base_model, inputs, first, self._logits)
        batch = _Rows(len(rows), int(self.module.config.num_labels), self.device)
        token = _batch.set(batch)
        try:
            with (
                contextlib.suppress(_AllLeft),
                contextlib.nullcontext() if last is None else restricted_to(last, first),
            ):
                scores = self._logits(inputs, first)
                batch.leave(
                    torch.ones_like(batch.here, dtype=torch.bool), scores, len(self._layers)
                )
        finally:
            _batch.reset(token)
        return batch.outputs

    def output_width(self, encoder: Encoder) -> int:
        """How many labels are scored, and one column more."""
        return super().output_width(encoder) + 1
