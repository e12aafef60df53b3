"""The teacher, loaded as what it is: a masked or causal model, or one of encoder and decoder.

And the one that members share: loaded once, named by content.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pet.config import Mask, ModelRef, RunConfig
from pet.errors import InputError, Problem
from pet.models.adapter import Adapter, read_backbone
from pet.models.adapter_kinds import load_adapter
from pet.models.causal_model import CausalModel
from pet.models.cloze_model import ClozeModel
from pet.models.encoder_decoder import EncoderDecoderModel
from pet.models.loading import (
    check_vocabulary,
    choose_device,
    kind_of,
    load_config,
    load_tokenizer,
    load_whole,
    model_digest,
    model_problems,
    reading_of,
    refuse_unloadable,
)
from pet.models.masked_model import MaskedModel
from pet.models.model import Model, Precision


def teacher_of(config: RunConfig) -> ClozeModel:
    """Load a run's teacher, as its settings say; see `load_teacher`."""
    device = choose_device(config.device)
    return load_teacher(config.model_ref, device, config.mask, precision=config.precision)


def load_teacher(
    ref: ModelRef, device: torch.device, mask: Mask | None = None, *, precision: Precision = "auto"
) -> ClozeModel:
    """Load weights from safetensors, never from a pickle and never with remote code.

    Args:
        mask: how a model of encoder and decoder reads a word; of others, None.

    Raises:
        InputError: no such model, no language-model head, weights that are not safetensors, or
            a reading that the model does not have.
    """
    refuse_unloadable(ref)
    tokenizer, config = load_tokenizer(ref), load_config(ref)
    with model_problems(ref.name):
        reading = reading_of(ref, mask)
        check_vocabulary(tokenizer, config, ref.name)
        module: Any = load_whole(kind_of(config, ref.name), ref)
    if reading == "masked":
        return MaskedModel(module, tokenizer, device, precision=precision)
    if reading == "causal":
        return CausalModel(module, tokenizer, device, precision=precision)
    return EncoderDecoderModel(module, tokenizer, device, reading, precision=precision)


class Backbone:
    """A frozen language model and the adapters that it has been given.

    It is loaded when it is first asked for. Its members take turns: see `Model.with_adapter`.
    """

    def __init__(
        self,
        ref: ModelRef,
        device: torch.device,
        precision: Precision,
        *,
        mask: Mask | None = None,
        digest: str | None = None,
        name: str | None = None,
    ):
        self.ref = ref
        self._name = name or ref.name
        self._device, self._precision, self._mask = device, precision, mask
        self._digest = digest
        self._model: ClozeModel | None = None
        self._worn: dict[Path, ClozeModel] = {}

    @classmethod
    def of(cls, config: RunConfig, run: Path, digest: str | None = None) -> Backbone:
        """The model that a run's members start from: the teacher, or what the run made of it.

        Args:
            digest: the teacher's, where it is known.
        """
        device = choose_device(config.device)
        if config.base is not None:
            own = ModelRef(str(run / config.base))
            return cls(own, device, config.precision, mask=config.mask, name=config.base)
        ref = config.model_ref
        return cls(ref, device, config.precision, mask=config.mask, digest=digest)

    @property
    def digest(self) -> str:
        """Name the model by its content."""
        if self._digest is None:
            self._digest = model_digest(self.ref)
        return self._digest

    @property
    def reference(self) -> dict[str, str | None]:
        """What an adapter notes of the model that it sits on; a run's own by its place there."""
        return {"ref": self._name, "revision": self.ref.revision, "digest": self.digest}

    @property
    def model(self) -> ClozeModel:
        """The model as it was pretrained, with nothing of it to be trained, nor worn."""
        if self._model is None:
            self._model = self.load()
            self._model.module.requires_grad_(False)
        # Whoever asks reads the module itself: a new prefix starts from what it computes.
        self._model.active_adapter.set(None)
        return self._model

    def load(self) -> ClozeModel:
        """Load the model anew, for somebody who changes its weights."""
        return load_teacher(self.ref, self._device, self._mask, precision=self._precision)

    def with_adapter(self, folder: Path) -> ClozeModel:
        """Return the model with the adapter that a folder holds, loaded once.

        Raises:
            InputError: the adapter was made for a model of other content, or is damaged.
        """
        if folder not in self._worn:
            made_for = read_backbone(folder).get("digest")
            if made_for != self.digest:
                raise InputError(
                    Problem(
                        self.ref.name,
                        f"the model that {folder} was made for",
                        "another model of that name",
                        "put the old one back, or make the run anew with `pet run --update`",
                    )
                )
            self._worn[folder] = self.model.with_adapter(load_adapter(self.model.module, folder))
        return self._worn[folder]

    def holds(self, model: Model) -> bool:
        """Return whether a model is this one, with whatever adapter."""
        return self._model is not None and model.module is self._model.module

    def take_off(self, adapter: Adapter) -> None:
        """Free an adapter that has been kept in a folder."""
        self.model.active_adapter.set(None)
        adapter.discard()

    def drop(self) -> None:
        """Free the memory; what is asked for later is loaded again."""
        self._model, self._worn = None, {}
