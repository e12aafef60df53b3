"""Bottleneck adapters (Houlsby et al. 2019, arXiv 1902.00751): small layers behind large ones.

What a sub-layer gives, h, becomes h + W_up gelu(W_down h), before it is added to what went in.
Houlsby et al. put one behind every attention and every feed-forward part, Pfeiffer et al. (2021,
arXiv 2005.00247) behind the feed-forward parts alone. Layer norms stay as they are, where Houlsby
et al. train them, too. A layer that is computed again (ALBERT) has its adapter every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter, functional

from pet.config import Tuning
from pet.models.adapter import Adapter, read_backbone, read_settings, read_weights
from pet.models.layers import LinearLayers, attention_outputs, feed_forward_outputs
from pet.models.loading import seeded

# Peak learning rate at a width of 128, chosen on validation rows
# (tests/bench/results/tuning-settings.md).
BOTTLENECK_RATE = 2e-3

SPREAD = 1e-2  # standard deviation of first weights (section 3.6): near to no change at all

PLACEMENTS: dict[str, Callable[[Any], LinearLayers]] = {
    "houlsby": lambda module: attention_outputs(module) | feed_forward_outputs(module),
    "pfeiffer": feed_forward_outputs,
}


class Bottleneck(Module):
    """Two linear layers with fewer units between them; what goes in is added to what comes out."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.down, self.up = Linear(width, inner), Linear(inner, width)
        for layer in (self.down, self.up):
            torch.nn.init.normal_(layer.weight, std=SPREAD)
            torch.nn.init.zeros_(layer.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Change hidden states a little. [..., width]"""
        return states + self.up(functional.gelu(self.down(states))).to(states)


class BottleneckAdapter(Adapter):
    """A bottleneck behind some linear layers of a module, by forward hooks."""

    def __init__(self, module: Module, tuning: Tuning, layers: Mapping[str, Bottleneck]):
        self.tuning, self._module = tuning, module
        device = next(module.parameters()).device
        self._layers = {name: layer.to(device) for name, layer in layers.items()}
        self._hooks: list[Any] = []

    @classmethod
    def fresh(cls, module: Any, tuning: Tuning, width: int, seed: int) -> BottleneckAdapter:
        """Put new bottlenecks of a width, drawn from `seed`, where the tuning wants them.

        Raises:
            InputError: the model's layers have names that are not known here.
        """
        size = module.config.get_text_config().hidden_size
        with seeded(seed):
            layers = {name: Bottleneck(size, width) for name in PLACEMENTS[tuning](module)}
        return cls(module, tuning, layers)

    @classmethod
    def load(cls, module: Any, folder: Path) -> BottleneckAdapter:
        """Read kept bottlenecks for a module."""
        settings, weights = read_settings(folder), read_weights(folder)
        size, layers = module.config.get_text_config().hidden_size, {}
        for name in settings["layers"]:
            module.get_submodule(name)  # an error where there is none
            layers[name] = Bottleneck(size, weights[f"{name}.down.bias"].numel())
            own = {key: weights[f"{name}.{key}"] for key in layers[name].state_dict()}
            layers[name].load_state_dict(own)
        return cls(module, read_backbone(folder)["tuning"], layers)

    def enter(self) -> None:
        for name, layer in self._layers.items():
            self._hooks.append(
                self._module.get_submodule(name).register_forward_hook(_behind(layer))
            )

    def leave(self) -> None:
        while self._hooks:
            self._hooks.pop().remove()

    def parameters(self) -> dict[str, Parameter]:
        return {
            f"{name}.{key}": own
            for name, layer in self._layers.items()
            for key, own in layer.named_parameters()
        }

    def weights(self) -> dict[str, Tensor]:
        return dict(self.parameters())

    def settings(self) -> dict[str, Any]:
        return {"layers": sorted(self._layers)}

    def learning_rate(self, width: int) -> float:
        return BOTTLENECK_RATE * 128 / width


def _behind(layer: Bottleneck) -> Callable[[Any, Any, Tensor], Tensor]:
    return lambda _module, _inputs, output: layer(output)
