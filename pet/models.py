"""What every model here can do, and the ordinary classifier: the student, and the baseline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from pet.encoding import Batch, Encoder, TextSlot, TokenizedTexts
from pet.loading import (
    check_vocabulary,
    load_tokenizer,
    load_whole,
    model_problems,
    quiet,
    refuse_unloadable,
    seeded,
)

Texts = Mapping[TextSlot, TokenizedTexts]
Rows = NDArray[np.int64]
Loss = Callable[[Tensor, Rows], Tensor]
Precision = Literal["auto", "float32", "bfloat16"]


def batch_tensors(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Put a batch on the device, under the names that a module takes. Each [rows, tokens]"""
    inputs = {"input_ids": batch.ids, "attention_mask": batch.attention}
    if batch.types is not None:
        inputs["token_type_ids"] = batch.types
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    if device.type == "cuda":
        return {name: t.pin_memory().to(device, non_blocking=True) for name, t in tensors.items()}
    return {name: tensor.to(device) for name, tensor in tensors.items()}


class Model(ABC):
    """A module, its tokenizer, its device: whatever scores the labels of encoded texts.

    Attributes:
        precision: what the module computes in. "auto" is bfloat16 on CUDA and float32 elsewhere;
            "bfloat16" is that on every device. Weights, scores and losses are float32 always.
    """

    def __init__(
        self, module: Any, tokenizer: Any, device: torch.device, *, precision: Precision = "auto"
    ):
        self.module = module.to(device)
        self.tokenizer = tokenizer
        self.device = device
        self.precision: Precision = precision

    @abstractmethod
    def outputs(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Score every label for the rows. [rows, labels], float32"""

    @abstractmethod
    def output_width(self, encoder: Encoder) -> int:
        """How many labels are scored."""

    def save(self, folder: Path) -> None:
        """Write safetensors, configuration and tokenizer; plain transformers loads it."""
        with quiet():
            self.module.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def save_settings(self, folder: Path) -> None:
        """Write configuration and tokenizer alone, for weights in another format."""
        with quiet():
            self.module.config.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    @property
    def suggested_learning_rate(self) -> float:
        """5e-4 at BERT-tiny's width of 128, and inverse to the square of the width.

        That is 1.4e-5 at 768 and 0.8e-5 at RoBERTa-large's 1,024, where the paper has 1e-5. The
        5e-4 was chosen on other labeled sets and rows than those that are reported.
        """
        width = float(self.module.config.get_text_config().hidden_size)
        return float(5e-4 * (128 / width) ** 2)

    def set_dropout(self, probability: float | None) -> None:
        """Train with this dropout everywhere instead of the model's own."""
        if probability is None:
            return
        for module in self.module.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = probability
            for name in ("dropout_prob", "attention_dropout"):
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, probability)

    def autocast(self) -> torch.autocast:
        """Let the forward pass inside compute in the model's precision."""
        chosen = self.precision == "auto" and self.device.type == "cuda"
        lower = chosen or self.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=lower)


class Classifier(Model):
    """A plain sequence classifier: the student, and the supervised baseline."""

    @classmethod
    def fresh(
        cls, ref: str, revision: str | None, labels: Sequence[str], device: torch.device,
        seed: int, *, precision: Precision = "auto",
    ) -> Classifier:  # fmt: skip
        """Put a new classification head, drawn from `seed`, on a pretrained model."""
        names = dict(enumerate(labels))
        refuse_unloadable(ref, revision)
        tokenizer = load_tokenizer(ref, revision)
        with seeded(seed), model_problems(ref, "its weights"):
            module = AutoModelForSequenceClassification.from_pretrained(
                ref, revision=revision, use_safetensors=True, trust_remote_code=False,
                dtype=torch.float32, num_labels=len(labels), id2label=names,
                label2id={label: index for index, label in names.items()},
            )  # fmt: skip
        check_vocabulary(tokenizer, module.config, ref)
        module.config.pad_token_id = tokenizer.pad_token_id
        return cls(module, tokenizer, device, precision=precision)

    @classmethod
    def load(
        cls, folder: str, device: torch.device, *, precision: Precision = "auto"
    ) -> Classifier:
        """Load a saved classifier.

        Raises:
            InputError: the folder holds none.
        """
        refuse_unloadable(folder, None)
        tokenizer = load_tokenizer(folder)
        with model_problems(folder):
            module = load_whole(AutoModelForSequenceClassification, folder, None)
        return cls(module, tokenizer, device, precision=precision)

    def outputs(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the classifier's logits. [rows, labels], float32"""
        batch = encoder.batch(texts, rows)
        with self.autocast():
            return self.module(**batch_tensors(batch, self.device)).logits.float()

    def output_width(self, encoder: Encoder) -> int:
        """How many labels are scored."""
        return int(self.module.config.num_labels)
