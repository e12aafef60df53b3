"""Changes to a model's linear layers by `peft`: LoRA, DoRA and IA3.

`peft` finds no way to prompts and prefixes for masked language models, where its wrapper knows no
task type, and where BERT and its like take no `past_key_values`; so these are modules of our own.
This is the one module that imports it, and only when it is needed: that takes seconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from transformers.pytorch_utils import Conv1D

from pet.config import LoraConfig, RunConfig, Tuning, WholeTrainingConfig
from pet.errors import InputError, Problem
from pet.models.adapter import Adapter, read_backbone, read_settings, read_weights
from pet.models.layers import LinearLayers, feed_forward_outputs, keys_and_values, linear_layers
from pet.models.loading import seeded
from pet.models.model import Model

if TYPE_CHECKING:
    import peft

# The change is multiplied by ALPHA / rank. Not tuned beside the rate: about the same thing, for
# which reason Hu et al. keep it constant, too (section 4.1).
ALPHA = 16

_numbers = itertools.count()  # names within a module; nothing that is kept depends on them


class PeftKind(NamedTuple):
    """One way to change linear layers.

    Attributes:
        settings: makes peft's settings for a module.
        kept: which of these shape the adapter.
        rate: peak learning rate at a width of 128, to which it is inverse: chosen on validation
            rows (tuning-rates.md and tuning-settings.md in tests/bench/results). At 1,024 that of
            LoRA is 2.5e-4, about what Hu et al. (2022) have for RoBERTa-large.
    """

    settings: Callable[[Module, LoraConfig], peft.PeftConfig]
    kept: tuple[str, ...]
    rate: float


def _lora(module: Module, config: LoraConfig, *, use_dora: bool) -> peft.PeftConfig:
    """Every linear layer's weight W becomes W + (ALPHA / r) B A (Hu et al. 2022, arXiv 2106.09685).

    With DoRA that is its direction alone, beside a learned length for every output (Liu et al.
    2024, arXiv 2402.09353).
    """
    import peft

    targets = _targets(module, config.targets)
    return peft.LoraConfig(
        r=config.rank,
        lora_alpha=ALPHA,
        lora_dropout=config.dropout,
        target_modules=list(targets),
        fan_in_fan_out=_is_transposed(targets),
        use_dora=use_dora,
    )


def _ia3(module: Module, config: LoraConfig) -> peft.PeftConfig:
    """Vectors scale keys, values and inner activations (Liu et al. 2022, arXiv 2205.05638)."""
    import peft

    inner = feed_forward_outputs(module)
    targets = keys_and_values(module) | inner
    return peft.IA3Config(
        target_modules=list(targets),
        feedforward_modules=list(inner),
        fan_in_fan_out=_is_transposed(targets),
    )


_OF_LORA = ("r", "lora_alpha", "lora_dropout", "target_modules", "fan_in_fan_out", "use_dora")
PEFT_KINDS: dict[str, PeftKind] = {
    "lora": PeftKind(partial(_lora, use_dora=False), _OF_LORA, 2e-3),
    "dora": PeftKind(partial(_lora, use_dora=True), _OF_LORA, 2e-3),
    "ia3": PeftKind(_ia3, ("target_modules", "feedforward_modules", "fan_in_fan_out"), 3e-2),
}


class PeftAdapter(Adapter):
    """A change to a module's linear layers that `peft` computes."""

    def __init__(self, module: Module, tuning: Tuning, config: peft.PeftConfig, name: str):
        import peft
        from peft.tuners.tuners_utils import BaseTunerLayer

        self.tuning = tuning
        self._module, self._config, self._name = module, config, name
        trained = {n for n, p in module.named_parameters() if p.requires_grad}
        peft.inject_adapter_in_model(config, module, adapter_name=name)
        del module.peft_config  # its warning that there are several is no news to us
        for parameter_name, parameter in module.named_parameters():
            # peft freezes everything but its own; what else is trained is not its business.
            if parameter_name in trained:
                parameter.requires_grad_(True)
        self._layers = [
            layer
            for layer in module.modules()
            if isinstance(layer, BaseTunerLayer) and name in layer._all_available_adapter_names()
        ]
        self.leave()

    @classmethod
    def fresh(cls, module: Module, tuning: Tuning, config: LoraConfig, seed: int) -> PeftAdapter:
        """Put a new adapter, drawn from `seed`, on the linear layers of a module.

        Raises:
            InputError: there are no layers of the names that are wanted.
        """
        with seeded(seed):
            return cls(module, tuning, PEFT_KINDS[tuning].settings(module, config), _next_name())

    @classmethod
    def load(cls, module: Module, folder: Path) -> PeftAdapter:
        """Put a kept adapter on a module."""
        import peft

        tuning, known = read_backbone(folder)["tuning"], read_settings(folder)
        kept = {name: known[name] for name in PEFT_KINDS[tuning].kept if name in known}
        config = (peft.IA3Config if tuning == "ia3" else peft.LoraConfig)(**kept)
        with seeded(0):  # drawn, then overwritten
            adapter = cls(module, tuning, config, _next_name())
        weights = read_weights(folder)
        if sorted(weights) != sorted(adapter.weights()):
            raise KeyError("weights of other layers")
        with torch.no_grad():
            for name, own in adapter.weights().items():
                own.copy_(weights[name])
        return adapter

    def enter(self) -> None:
        for layer in self._layers:
            layer.set_adapter(self._name)

    def leave(self) -> None:
        for layer in self._layers:
            layer.set_adapter([])

    def parameters(self) -> dict[str, Parameter]:
        return {
            name: parameter
            for name, parameter in self._module.named_parameters()
            if self._name in name.split(".")
        }

    def weights(self) -> dict[str, Tensor]:
        """Return the weights under the names that `peft` gives them in a file."""
        found: dict[str, Tensor] = {}
        for name, parameter in self.parameters().items():
            own = ".".join(part for part in name.split(".") if part != self._name)
            own = own.replace("magnitude_vector.weight", "magnitude_vector")
            found[f"base_model.model.{own}"] = parameter
        return found

    def settings(self) -> dict[str, Any]:
        """Return the configuration that `peft` itself would load."""
        plain = {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in self._config.to_dict().items()
        }
        return {**plain, "inference_mode": True}

    def learning_rate(self, width: int) -> float:
        return PEFT_KINDS[self.tuning].rate * 128 / width

    def discard(self) -> None:
        for layer in self._layers:
            layer.delete_adapter(self._name)

    def merge(self) -> None:
        """Add the change to the module's own weights, and leave no trace of the adapter."""
        from peft.tuners.lora import LoraLayer

        self.enter()
        for name, layer in list(self._module.named_modules()):
            if isinstance(layer, LoraLayer):
                layer.merge(safe_merge=True, adapter_names=[self._name])
                self._module.set_submodule(name, layer.get_base_layer())


def _next_name() -> str:
    return f"adapter{next(_numbers)}"


def _is_transposed(layers: LinearLayers) -> bool:
    return any(isinstance(layer, Conv1D) for layer in layers.values())


def _targets(module: Module, wanted: tuple[str, ...]) -> LinearLayers:
    """Return the linear layers of a module's backbone, or those whose names end as wanted."""
    found = linear_layers(module)
    chosen = {n: layer for n, layer in found.items() if not wanted or n.endswith(wanted)}
    strange = [end for end in wanted if not any(name.endswith(end) for name in found)]
    if strange or not chosen:
        ends = sorted({name.rpartition(".")[2] for name in found})
        raise InputError(
            Problem(
                "setting lora.targets",
                f"ends of names of linear layers: {', '.join(ends)}",
                ", ".join(strange) or "no linear layer",
                "leave it out for all of them",
            )
        )
    return chosen


def add_lora(
    model: Model,
    config: RunConfig,
    training: WholeTrainingConfig,
    seed: int,
    trained: Collection[str] = (),
) -> None:
    """Freeze a model that is to be kept whole, beside a LoRA adapter, if its training is such.

    Args:
        trained: names of weights that are trained all the same, such as a new head's.
    """
    if training.tuning == "lora":
        for name, parameter in model.module.named_parameters():
            parameter.requires_grad_(name in trained)
        model.adapter = PeftAdapter.fresh(model.module, "lora", config.lora, seed)


def merge_lora(model: Model) -> None:
    """Add what `add_lora` let be learned to the model's own weights."""
    if isinstance(model.adapter, PeftAdapter):
        model.adapter.merge()
        model.adapter = None
