"""What of a model is trained: LoRA by `peft`, soft prompts and prefixes by modules of our own.

`peft` finds no way to prompts and prefixes for masked language models, where its wrapper knows no
task type, and where BERT and its like take no `past_key_values`; so only LoRA is taken from it.
This is the one module that imports it, and only when it is needed: that takes seconds.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from transformers.pytorch_utils import Conv1D

from pet.config import LoraConfig, RunConfig, WholeTrainingConfig
from pet.errors import InputError, Problem
from pet.models.adapter import Adapter, read_settings, read_weights
from pet.models.loading import seeded
from pet.models.model import Model

if TYPE_CHECKING:
    import peft


# 2e-3 at BERT-tiny's width of 128, chosen on validation rows (tests/bench/results/tuning-rates.md);
# inverse to the width, that is 2.5e-4 at 1,024, about what Hu et al. (2022) have for RoBERTa-large.
LORA_RATE = 2e-3

# The change is multiplied by ALPHA / rank. Not tuned beside the rate: about the same thing, for
# which reason Hu et al. keep it constant, too (section 4.1).
ALPHA = 16

_numbers = itertools.count()  # names within a module; nothing that is kept depends on them


class LoraAdapter(Adapter):
    """A low-rank change to the weights of a module's linear layers."""

    tuning = "lora"

    def __init__(self, module: Module, config: peft.LoraConfig, name: str):
        import peft
        from peft.tuners.lora import LoraLayer

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
            if isinstance(layer, LoraLayer) and name in layer.lora_A
        ]
        self.leave()

    @classmethod
    def fresh(cls, module: Module, config: LoraConfig, seed: int) -> LoraAdapter:
        """Put a new adapter, drawn from `seed`, on the linear layers of a module.

        Raises:
            InputError: there are no layers of the names that the configuration wants.
        """
        import peft

        with seeded(seed):
            targets = _linear_layers(module, config.targets)
            wanted = peft.LoraConfig(
                r=config.rank,
                lora_alpha=ALPHA,
                lora_dropout=config.dropout,
                target_modules=list(targets),
                fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in targets.values()),
            )
            return cls(module, wanted, _next_name())

    @classmethod
    def load(cls, module: Module, folder: Path) -> LoraAdapter:
        """Put a kept adapter on a module."""
        import peft

        known = read_settings(folder)
        names = ("r", "lora_alpha", "lora_dropout", "target_modules", "fan_in_fan_out")
        config = peft.LoraConfig(**{name: known[name] for name in names})
        with seeded(0):  # drawn, then overwritten
            adapter = cls(module, config, _next_name())
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
            if ".lora_" in name and f".{self._name}." in name
        }

    def weights(self) -> dict[str, Tensor]:
        """Return the weights under the names that `peft` gives them in a file."""
        return {
            f"base_model.model.{name.replace(f'.{self._name}.', '.')}": parameter
            for name, parameter in self.parameters().items()
        }

    def settings(self) -> dict[str, Any]:
        """Return the configuration that `peft` itself would load."""
        plain = {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in self._config.to_dict().items()
        }
        return {**plain, "inference_mode": True}

    def learning_rate(self, width: int) -> float:
        return LORA_RATE * 128 / width

    def discard(self) -> None:
        from peft.functional import delete_adapter
        from peft.tuners.lora import LoraLayer

        delete_adapter(self._module, self._name, "lora_", LoraLayer)

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


def _linear_layers(module: Any, wanted: tuple[str, ...]) -> dict[str, Module]:
    """Find the linear layers of a module's backbone by name, or those that end as wanted."""
    prefix = module.base_model_prefix
    found: dict[str, Module] = {
        name.removesuffix(".base_layer"): layer
        for name, layer in module.named_modules()
        if name.startswith(f"{prefix}.")
        and isinstance(layer, (torch.nn.Linear, Conv1D))
        and ".pooler." not in name
        and ".lora_" not in name
    }
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
        model.adapter = LoraAdapter.fresh(model.module, config.lora, seed)


def merge_lora(model: Model) -> None:
    """Add what `add_lora` let be learned to the model's own weights."""
    if isinstance(model.adapter, LoraAdapter):
        model.adapter.merge()
        model.adapter = None
