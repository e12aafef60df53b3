"""Patterns, encoders and filled batches for tests, from a template and some texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pet.config import ModelRef, RunConfig
from pet.models.cloze_model import ClozeModel
from pet.models.model import Classifier
from pet.models.teachers import load_teacher
from pet.tasks.compilation import pattern_encoder, plain_encoder
from pet.tasks.encoding import Batch, Encoder, Reading, TokenizedTexts, tokenize
from pet.tasks.patterns import Pattern, parse_pattern
from tests.support.tiny_models import MASKS

Columns = Mapping[str, Sequence[str]]
CPU = torch.device("cpu")
WORDS: dict[str, tuple[str, ...]] = {"a": ("sport",), "b": ("space",), "c": ("business", "money")}
TEXTS = ("the game was on", "news", "a rocket to the moon and the big star", "it was bad.")


def config_of(model: Path | str = "m", **settings: Any) -> RunConfig:
    """Return the settings of a run for what needs no more of it than its model and lengths."""
    return RunConfig(task="t", pool="p", out="o", model=str(model), device="cpu", **settings)


def pattern(template: str, fields: Sequence[str] = ("text",)) -> Pattern:
    found, problems = parse_pattern("p", template, fields, "test")
    assert found is not None, problems
    return found


def encoder_for(
    tokenizer: Any,
    template: str,
    fields: Sequence[str] = ("text",),
    *,
    reading: Reading = "masked",
    words: Mapping[str, Sequence[str]] | None = None,
    max_length: int = 64,
    prompt_length: int = 0,
) -> Encoder:
    return pattern_encoder(
        tokenizer,
        pattern(template, fields),
        words or WORDS,
        reading,
        max_length,
        prompt_length=prompt_length,
    )


def tokenized(encoder: Encoder, tokenizer: Any, columns: Columns) -> dict[str, TokenizedTexts]:
    return {
        slot: tokenize(tokenizer, list(columns[slot.name]), encoder.max_length, slot.space)
        for slot in encoder.slots
    }


def batch_of(encoder: Encoder, tokenizer: Any, columns: Columns, masks: int = 1) -> Batch:
    rows = np.arange(len(next(iter(columns.values()))))
    return encoder.batch(tokenized(encoder, tokenizer, columns), rows, masks)


def row_ids(batch: Batch, row: int = 0) -> list[int]:
    return [int(token) for token in batch.ids[row][batch.attention[row] == 1]]


def filled(tokenizer: Any, template: str, reading: Reading = "masked", **columns: str) -> list[int]:
    """The ids of one filled row, special tokens and mask included."""
    encoder = encoder_for(tokenizer, template, tuple(columns), reading=reading)
    return row_ids(batch_of(encoder, tokenizer, {name: [text] for name, text in columns.items()}))


def load_cloze(folder: Path) -> ClozeModel:
    model = load_teacher(ModelRef(str(folder)), CPU, MASKS.get(folder.name))
    model.module.eval()
    return model


def fresh_classifier(folder: Path, labels: Sequence[str] = ("a", "b", "c"), seed: int = 1) -> Any:
    model = Classifier.fresh(ModelRef(str(folder)), labels, CPU, seed)
    model.module.eval()
    return model


def plain_batchable(model: Any, texts: Sequence[str]) -> tuple[Encoder, dict[str, TokenizedTexts]]:
    """A classifier's encoder and its tokenised texts."""
    encoder = plain_encoder(model.tokenizer, ["text"], 32)
    return encoder, tokenized(encoder, model.tokenizer, {"text": texts})


def ask(
    model: ClozeModel,
    template: str,
    words: dict[str, tuple[str, ...]] | None = None,
    texts: Sequence[str] = TEXTS,
) -> tuple[Tensor, Encoder, dict[str, Any]]:
    """A model's label scores of some texts, and the filled patterns behind them."""
    encoder = encoder_for(model.tokenizer, template, reading=model.reading, words=words)
    columns = tokenized(encoder, model.tokenizer, {"text": texts})
    with torch.no_grad():
        return model.outputs(encoder, columns, np.arange(len(texts))), encoder, columns
