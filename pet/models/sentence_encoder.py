"""A sentence encoder: one vector per text, for the encoder member of an ensemble."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModel
from transformers.utils.hub import cached_file

from pet.config import ModelRef, RunConfig
from pet.errors import InputError, Problem
from pet.models.batching import Rows
from pet.models.loading import (
    check_vocabulary,
    load_tokenizer,
    load_whole,
    longest_input,
    model_digest,
    model_problems,
    refuse_unloadable,
)
from pet.models.model import Model, Precision, Texts, batch_tensors
from pet.storage.units import fingerprint
from pet.tasks.encoding import Encoder

POOLING = "1_Pooling/config.json"  # where sentence-transformers says how tokens become one vector


class SentenceEncoder(Model):
    """Pools a model's last hidden states into one vector of length one per text."""

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        device: torch.device,
        pooling: str,
        *,
        precision: Precision = "auto",
    ):
        super().__init__(module, tokenizer, device, precision=precision)
        self.pooling = pooling

    @classmethod
    def load(
        cls, ref: ModelRef, device: torch.device, *, precision: Precision = "auto"
    ) -> SentenceEncoder:
        """Load weights from safetensors, and how the model was trained to be pooled.

        Raises:
            InputError: no such model, or a pooling other than mean or first token.
        """
        refuse_unloadable(ref)
        tokenizer = load_tokenizer(ref)
        pooling = pooling_of(ref)
        with model_problems(ref.name):
            module = load_whole(AutoModel, ref, may_miss="pooler.")
        check_vocabulary(tokenizer, module.config, ref.name)
        return cls(module, tokenizer, device, pooling, precision=precision)

    def outputs_at_once(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the texts' embeddings. [rows, width], float32, of length one"""
        inputs = batch_tensors(encoder.batch(texts, rows), self.device)
        with self.autocast():
            hidden = self.module(**inputs).last_hidden_state
        if self.pooling == "cls":
            return functional.normalize(hidden[:, 0].float(), dim=-1)
        mask = inputs["attention_mask"][:, :, None].to(hidden.dtype)
        return functional.normalize((hidden * mask).sum(1).float() / mask.sum(1).float(), dim=-1)

    def output_width(self, encoder: Encoder) -> int:
        """How many numbers an embedding has."""
        return int(self.module.config.get_text_config().hidden_size)


def encoder_digest(ref: ModelRef) -> str:
    """Name a sentence encoder by its content, and by how it is pooled.

    Raises:
        InputError: no such model, or one that is pooled in a way that is not known here.
    """
    return fingerprint(model=model_digest(ref), pooling=pooling_of(ref))


def pooling_of(ref: ModelRef) -> str:
    """Return `mean` or `cls`, as the model's folder says; mean where it says nothing.

    Raises:
        InputError: the model is pooled in another way.
    """
    modules = _json_of(ref, "modules.json")
    with model_problems(ref.name, "modules.json"):
        kinds = [str(module["type"]).rpartition(".")[2] for module in modules or []]
    if others := sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"}):
        raise InputError(
            Problem(
                f"{ref.name}: modules.json",
                "a transformer, its pooling, and no more layers",
                ", ".join(others),
                "take another sentence encoder",
            )
        )
    settings = _json_of(ref, POOLING)
    if settings is None:
        return "mean"
    with model_problems(ref.name, POOLING):
        asked = [
            mode for mode, value in settings.items() if value is True and "pooling_mode" in mode
        ]
    if asked == ["pooling_mode_mean_tokens"]:
        return "mean"
    if asked == ["pooling_mode_cls_token"]:
        return "cls"
    raise InputError(
        Problem(
            f"{ref.name}: {POOLING}",
            "pooling by the mean or the first token",
            ", ".join(asked) or "none",
            "take another sentence encoder",
        )
    )


def _json_of(ref: ModelRef, name: str) -> Any:
    """Read a model's file; None where it has none of that name."""
    with model_problems(ref.name):
        path = cached_file(
            ref.name, name, revision=ref.revision, _raise_exceptions_for_missing_entries=False
        )
        return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))


def encoder_length(config: RunConfig) -> int:
    """Tokens of a text that the sentence encoder reads: it reads once, so it may read more."""
    assert config.encoder is not None, "only a run with an encoder asks"
    longest = longest_input(config.encoder_ref)
    return min(config.encoder_max_length, longest)
