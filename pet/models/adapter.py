"""Weights beside a frozen model: what they can do, how one of many is in force, how they are kept.

A member that is an adapter is a folder with `adapter_model.safetensors`, `adapter_config.json` and
`backbone.json`: by reference and digest, the model that it sits on, of which there is no copy.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter

from pet.config import Tuning
from pet.errors import RUN_AGAIN, InputError, Problem
from pet.storage.files import read_record

WEIGHTS, SETTINGS, BACKBONE = "adapter_model.safetensors", "adapter_config.json", "backbone.json"

PREFIX_ATTENTION = "pet_prefix"  # the name under which transformers finds a prefix's attention


class Adapter(ABC):
    """Some weights that change what a frozen module computes, while they are in force.

    Attributes:
        tuning: the setting that it goes by.
        adds_places: whether texts are read with places beside their own, before them or in every
            layer.
        prompt_length: places in front of every text that it needs.
        fewest_rows: rows that a batch needs for it.
    """

    tuning: Tuning
    adds_places: bool = False
    prompt_length: int = 0
    fewest_rows: int = 1

    @abstractmethod
    def enter(self) -> None:
        """Put the adapter in force; no other one is."""

    @abstractmethod
    def leave(self) -> None:
        """Let the module compute as it did."""

    @abstractmethod
    def parameters(self) -> dict[str, Parameter]:
        """What is trained, by name."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """What is kept, by name."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What it takes to make the adapter again, weights apart."""

    @abstractmethod
    def learning_rate(self, width: int) -> float:
        """Suggest a peak learning rate for a module of hidden states this wide."""

    def discard(self) -> None:  # noqa: B027  (only some have anything to free)
        """Free what the adapter holds of the module; it is not in force."""


class ActiveAdapter:
    """Sees to it that one adapter of a module is in force at a time, or none."""

    def __init__(self) -> None:
        self.now: Adapter | None = None

    def set(self, adapter: Adapter | None) -> None:
        """Let the module compute with this adapter; with none, as it was loaded."""
        if adapter is self.now:
            return
        if self.now is not None:
            self.now.leave()
        self.now = None
        if adapter is not None:
            adapter.enter()
        self.now = adapter


def save_adapter(adapter: Adapter, folder: Path, backbone: Mapping[str, str | None]) -> None:
    """Write an adapter, and which model it sits on (`ref`, `revision`, `digest`)."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().cpu().contiguous() for name, tensor in adapter.weights().items()
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    _write(folder / SETTINGS, adapter.settings())
    _write(folder / BACKBONE, {"tuning": adapter.tuning, **backbone})


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def is_adapter(folder: Path) -> bool:
    """Distinguish an adapter from a whole model."""
    return (folder / BACKBONE).is_file()


def read_backbone(folder: Path) -> dict[str, Any]:
    """Return the record of an adapter: `tuning`, and its model's `ref` and `digest`."""
    return read_record(folder / BACKBONE)


def read_settings(folder: Path) -> dict[str, Any]:
    """Return an adapter's settings."""
    return read_record(folder / SETTINGS)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return an adapter's weights.

    Raises:
        InputError: there are none, or the file is cut off.
    """
    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise damaged(folder, str(error).partition("\n")[0]) from error


def damaged(folder: Path, found: str) -> InputError:
    """Explain in one screen that an adapter cannot be used."""
    return InputError(
        Problem(
            str(folder),
            f"an adapter: {WEIGHTS}, {SETTINGS} and {BACKBONE}",
            found,
            RUN_AGAIN,
        )
    )
