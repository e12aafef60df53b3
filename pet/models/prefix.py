"""Prefixes (Li and Liang 2021, arXiv 2101.00190): learned keys and values in every layer.

They are put in where transformers lets every architecture's attention be replaced, for masked and
causal models alike. Nothing is put in front of the text, so its positions stay what they were.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter

from pet.config import Tuning
from pet.errors import InputError, Problem
from pet.models.adapter import PREFIX_ATTENTION, Adapter, read_settings, read_weights
from pet.models.loading import quiet, seeded

# Chosen on validation rows (tests/bench/results/tuning-rates.md) at a width of 128.
PREFIX_RATE = 1e-2

SPREAD = 0.02  # standard deviation of random keys and values

Layer = tuple[Module, Tensor, Tensor]  # of attention; its keys and values: [heads, length, width]

_seen: ContextVar[list[Layer] | None] = ContextVar("seen", default=None)


def attend(
    layer: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attend to the layer's prefix too, from every place. Keys are [rows, heads, tokens, width]."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if (seen := _seen.get()) is not None:
        seen.append((layer, key[0].detach(), value[0].detach()))
    if (prefix := getattr(layer, "prefix", None)) is not None:
        assert attention_mask is not None or not layer.is_causal, "see `whole_mask`"
        keys, values = prefix.of_layer(prefix.turn_of(layer))
        rows = len(key)
        key = torch.cat([keys.to(key).expand(rows, -1, -1, -1), key], dim=2)
        value = torch.cat([values.to(value).expand(rows, -1, -1, -1), value], dim=2)
        if attention_mask is not None:
            shape = (*attention_mask.shape[:3], keys.shape[1])
            attention_mask = torch.cat([attention_mask.new_ones(shape), attention_mask], dim=3)
    return sdpa_attention_forward(layer, query, key, value, attention_mask, **settings)


def whole_mask(*arguments: Any, **settings: Any) -> Tensor | None:
    """Make the mask of who may attend to whom in full: a prefix comes to stand beside it."""
    from transformers.masking_utils import sdpa_mask

    skips = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return sdpa_mask(*arguments, **{**settings, **skips})


@functools.cache
def register() -> None:
    """Register the attention; importing that part of transformers is slow and sets filters."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(PREFIX_ATTENTION, attend)
    AttentionMaskInterface.register(PREFIX_ATTENTION, whole_mask)


class Reparametrisation(Module):
    """What keys and values are learned through: an MLP from vectors of its own (section 4.3).

    Its output is added to what the prefix starts from, and is nothing at first.
    """

    def __init__(self, length: int, width: int, sizes: Sequence[int]):
        super().__init__()
        self.vectors = Parameter(torch.randn(length, width))
        self.hidden = Linear(width, width)
        self.out = torch.nn.ModuleList(Linear(width, 2 * size) for size in sizes)
        for layer in self.out:
            torch.nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            torch.nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, number: int) -> tuple[Tensor, Tensor]:
        """Return what is added to a layer's keys and values. Each [length, size]"""
        keys, values = self.out[number](torch.tanh(self.hidden(self.vectors))).chunk(2, dim=1)
        return keys, values


class Prefix(Adapter):
    """Keys and values that every layer's attention finds beside those of the text.

    Layers may be one and the same module, computed again (ALBERT): each turn has its own.

    Attributes:
        keys, values: one of each per layer. [heads, length, width of a head]
    """

    tuning: Tuning = "prefix"
    adds_places = True

    def __init__(
        self,
        module: Any,
        names: Sequence[str],
        keys: Sequence[Tensor],
        values: Sequence[Tensor],
        through: Reparametrisation | None = None,
    ):
        device = module.device
        self._module, self._names = module, list(names)
        self._layers = [module.get_submodule(name) for name in names]
        self._turns: list[int] = []
        self.keys = [Parameter(own.to(device), through is None) for own in keys]
        self.values = [Parameter(own.to(device), through is None) for own in values]
        self._through = None if through is None else through.to(device)
        self._usual = module.config._attn_implementation

    @classmethod
    def fresh(
        cls, module: Any, first: Sequence[int] | int, tokens: Sequence[int], width: int, seed: int
    ) -> Prefix:
        """Start from the activations of some tokens, or from as many small random vectors.

        Args:
            tokens: any tokens, to find the layers by.
            width: of the MLP that the prefix is trained through; 0: none.

        Raises:
            InputError: the model's attention cannot be reached.
        """
        layers = activations(module, list(tokens) if isinstance(first, int) else first)
        names = {layer: name for name, layer in module.named_modules()}
        length = first if isinstance(first, int) else len(first)
        shapes = [(len(keys), length, keys.shape[2]) for _, keys, _ in layers]
        keys = [keys.float() for _, keys, _ in layers]
        values = [values.float() for _, _, values in layers]
        with seeded(seed):
            if isinstance(first, int):
                keys = [SPREAD * torch.randn(shape) for shape in shapes]
                values = [SPREAD * torch.randn(shape) for shape in shapes]
            sizes = [heads * head_width for heads, _, head_width in shapes]
            through = Reparametrisation(length, width, sizes) if width else None
        return cls(module, [names[layer] for layer, _, _ in layers], keys, values, through)

    @classmethod
    def load(cls, module: Any, folder: Path) -> Prefix:
        """Read a kept prefix for a module."""
        weights, names = read_weights(folder), read_settings(folder)["layers"]
        kept = _turn_names(names)
        keys = [weights[f"{name}.keys"] for name in kept]
        return cls(module, names, keys, [weights[f"{name}.values"] for name in kept])

    def enter(self) -> None:
        _set_attention(self._module, PREFIX_ATTENTION)
        self._hook = self._module.register_forward_pre_hook(self._begin)
        for layer in set(self._layers):
            layer.prefix = self

    def leave(self) -> None:
        _set_attention(self._module, self._usual)
        self._hook.remove()
        for layer in set(self._layers):
            del layer.prefix

    def _begin(self, _module: Any, _inputs: Any) -> None:
        self._turns = list(range(len(self._layers)))

    def turn_of(self, layer: Module) -> int:
        """Return the number of the next layer that this module is, in one pass."""
        number = next(n for n in self._turns if self._layers[n] is layer)
        self._turns.remove(number)
        return number

    def of_layer(self, number: int) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values. Each [heads, length, width of a head]"""
        keys, values = self.keys[number], self.values[number]
        if self._through is None:
            return keys, values
        heads, length, width = keys.shape
        more = [part.view(length, heads, width).transpose(0, 1) for part in self._through(number)]
        return keys + more[0], values + more[1]

    def parameters(self) -> dict[str, Parameter]:
        if self._through is not None:
            return dict(self._through.named_parameters())
        pairs = enumerate(zip(self.keys, self.values, strict=True))
        return {
            f"{kind}.{i}": own for i, pair in pairs for kind, own in zip("kv", pair, strict=True)
        }

    def weights(self) -> dict[str, Tensor]:
        """Return the keys and values themselves: the MLP has done its work."""
        found = {}
        for number, name in enumerate(_turn_names(self._names)):
            found[f"{name}.keys"], found[f"{name}.values"] = self.of_layer(number)
        return found

    def settings(self) -> dict[str, Any]:
        return {"layers": self._names, "length": self.keys[0].shape[1]}

    def learning_rate(self, width: int) -> float:
        return PREFIX_RATE


def _turn_names(layers: Sequence[str]) -> list[str]:
    """Name every layer; one that is the same module as a layer before it, with its turn."""
    turns = [layers[: place + 1].count(name) for place, name in enumerate(layers)]
    return [f"{n}.{turn}" if turn > 1 else n for n, turn in zip(layers, turns, strict=True)]


def activations(module: Any, tokens: Sequence[int]) -> list[Layer]:
    """Run a model on some tokens; return each attention layer with its keys and values.

    Raises:
        InputError: the model computes attention in a way of its own.
    """
    ids = torch.tensor([list(tokens)], device=module.device)
    training, seen = module.training, list[Layer]()
    usual = module.config._attn_implementation
    module.eval()
    with _recording(seen), torch.no_grad():
        _set_attention(module, PREFIX_ATTENTION)
        module(input_ids=ids, attention_mask=torch.ones_like(ids))
        _set_attention(module, usual)
    module.train(training)
    if not seen:
        raise InputError(
            Problem(
                "setting member.tuning",
                "a model with transformers' usual attention, for a prefix",
                type(module).__name__,
                "--set member.tuning=lora, or another but prefix",
            )
        )
    return seen


@contextlib.contextmanager
def _recording(seen: list[Layer]) -> Iterator[None]:
    token = _seen.set(seen)
    try:
        yield
    finally:
        _seen.reset(token)


def _set_attention(module: Any, name: str) -> None:
    register()
    with quiet():  # a model that has no choice says so in the log; we see it by ourselves
        module.set_attn_implementation(name)
