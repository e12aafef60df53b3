"""The teacher, loaded as what it is: a masked or causal model, or one of encoder and decoder."""

from __future__ import annotations

from typing import Any

import torch

from pet.config import Mask, ModelRef, RunConfig
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
    model_problems,
    reading_of,
    refuse_unloadable,
)
from pet.models.masked_model import MaskedModel
from pet.models.model import Precision


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
