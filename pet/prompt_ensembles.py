"""Prompt ensembles (Lester et al. 2021, section 6): a text under many prompts, in one pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pet.cloze_models import ClozeModel
from pet.encoding import Encoder
from pet.models import Model
from pet.scoring import Columns, Tokens, in_scoring_precision, refuse_nan, tokenize_columns
from pet.soft_prompts import SoftPrompt, stacked

# Tokens of all members' rows together up to which one pass is the faster way: 1.9 times for one
# short text and nine members of BERT-tiny on a CPU core, no faster at eight texts, half as fast at
# 64. The arithmetic is the same; what is saved is the calls, and what is lost is the cache.
JOINT_TOKENS = 1024


class PromptEnsemble:
    """Members that differ by their soft prompt and pattern only, asked about few texts at once."""

    def __init__(self, voices: Sequence[tuple[ClozeModel, Encoder]], prompts: list[SoftPrompt]):
        model = voices[0][0]
        self._model = model.wearing(stacked(model.module, prompts))
        self._encoders = [encoder for _, encoder in voices]

    @classmethod
    def of(cls, voices: Sequence[tuple[Model, Encoder]]) -> PromptEnsemble | None:
        """Join the voices of an ensemble; None where they are not of that kind.

        They are where all are soft prompts of one length on one module, and label words are of
        one token.
        """
        models = [(m, encoder) for m, encoder in voices if isinstance(m, ClozeModel)]
        prompts = [m.adapter for m, _ in models if isinstance(m.adapter, SoftPrompt)]
        if not prompts or len(prompts) < len(voices):
            return None
        alike = {(id(m.module), m.adapter and m.adapter.prompt_length) for m, _ in models}
        if len(alike) > 1 or any(encoder.words.mask_counts != (1,) for _, encoder in models):
            return None
        return cls(models, prompts)

    def score(self, columns: Columns) -> NDArray[np.float32] | None:
        """Score all rows by all members; None for more than pays. [members, rows, labels]

        Raises:
            PetError: the model says NaN.
        """
        rows = np.arange(len(next(iter(columns.values()))))
        if not len(rows) or len(rows) * len(self._encoders) > JOINT_TOKENS:
            return None
        texts: Tokens = {}
        for encoder in self._encoders:
            tokenize_columns(encoder, self._model.tokenizer, columns, texts)
        longest = max(int(encoder.lengths(texts, rows).max()) for encoder in self._encoders)
        if longest * len(rows) * len(self._encoders) > JOINT_TOKENS:
            return None
        self._model.module.eval()
        with torch.inference_mode(), in_scoring_precision(self._model):
            scores = self._model.outputs_of(self._encoders, texts, rows).cpu().numpy()
        refuse_nan(scores)
        return scores
