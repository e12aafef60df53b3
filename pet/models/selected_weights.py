"""Some of a model's own weights are trained, and nothing is added to it.

BitFit (Ben Zaken et al. 2022, arXiv 2106.10199) trains the biases; LN-tuning (Zhao et al. 2024,
arXiv 2312.11420) the layer norms; the top layers are a baseline of Li and Liang (2021, arXiv
2101.00190). Each adapter has its own copies, which take the places of the model's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import Module, Parameter

from pet.config import Tuning
from pet.models.adapter import Adapter, read_backbone, read_weights
from pet.models.layers import below_head, no_place, top_layers

# Peak learning rates at a width of 128, chosen on validation rows
# (tests/bench/results/tuning-settings.md): of vectors, and of the top layers, whose rate falls with
# the square of the width, as that of all weights does.
VECTOR_RATE, TOP_RATE = 3e-2, 1e-3

SELECTED = ("bitfit", "layer-norm", "top-1", "top-2", "top-3", "top-4")


class SelectedWeights(Adapter):
    """Copies of some of a module's weights, in their places while in force."""

    def __init__(self, module: Module, tuning: Tuning, values: Mapping[str, Tensor]):
        self.tuning = tuning
        self._own = {name: Parameter(value.clone()) for name, value in values.items()}
        everywhere = list(module.named_parameters(remove_duplicate=False))
        self._places = {  # a weight may have several: tied ones
            name: [
                (module.get_submodule(place.rpartition(".")[0]), place.rpartition(".")[2])
                for place, parameter in everywhere
                if parameter is module.get_parameter(name)
            ]
            for name in self._own
        }

    @classmethod
    def fresh(cls, module: Any, tuning: Tuning) -> SelectedWeights:
        """Start from the weights as they were pretrained.

        Raises:
            InputError: the model has none of these.
        """
        parts = dict(below_head(module))
        if tuning == "bitfit":
            chosen = {f"{name}.bias" for name in parts}
        elif tuning == "layer-norm":
            norms = [name for name, part in parts.items() if "Norm" in type(part).__name__]
            chosen = {f"{name}.{own}" for name in norms for own in ("weight", "bias")}
        else:
            layers = tuple(f"{name}." for name in top_layers(module, int(tuning.split("-")[1])))
            chosen = {name for name, _ in module.named_parameters() if name.startswith(layers)}
        known = {name: own.detach() for name, own in module.named_parameters() if name in chosen}
        if not known:
            raise no_place(module, "biases")
        return cls(module, tuning, known)

    @classmethod
    def load(cls, module: Module, folder: Path) -> SelectedWeights:
        """Read kept weights for a module."""
        weights, tuning = read_weights(folder), read_backbone(folder)["tuning"]
        for name, value in weights.items():
            if (shape := module.get_parameter(name).shape) != value.shape:
                raise ValueError(f"{name} of the shape {list(value.shape)}, not {list(shape)}")
        device = next(module.parameters()).device
        return cls(module, tuning, {name: value.to(device) for name, value in weights.items()})

    def enter(self) -> None:
        self._before = {n: own._parameters[leaf] for n, [(own, leaf), *_] in self._places.items()}
        self._put(self._own)

    def leave(self) -> None:
        self._put(self._before)

    def _put(self, weights: Mapping[str, Parameter | None]) -> None:
        for name, places in self._places.items():
            for part, leaf in places:
                part._parameters[leaf] = weights[name]

    def parameters(self) -> dict[str, Parameter]:
        return self._own

    def weights(self) -> dict[str, Tensor]:
        return dict(self._own)

    def settings(self) -> dict[str, Any]:
        return {"weights": sorted(self._own)}

    def learning_rate(self, width: int) -> float:
        share = 128 / width
        is_top = self.tuning.startswith("top-")
        return TOP_RATE * share**2 if is_top else VECTOR_RATE * share
