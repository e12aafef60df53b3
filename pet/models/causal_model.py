"""Causal language models, which are asked for words as what follows a text (GPT-2, Llama)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pet.models.batching import Rows
from pet.models.cloze_model import (
    ClozeModel,
    Word,
    label_scores,
    mean_scores,
    single_tokens,
    word_logs,
)
from pet.models.model import Texts, batch_tensors
from pet.models.shared_text import Branches, with_branches
from pet.models.window_pooling import by_windows
from pet.tasks.encoding import Batch, Encoder, Reading


class CausalModel(ClozeModel):
    """A causal language model."""

    reading: Reading = "causal"
    _shares: bool | None = None

    def _by_probability(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        if self.shares_text([encoder], texts, rows):
            return self.outputs_together([encoder], texts, rows)[0]
        return super()._by_probability(encoder, texts, rows)

    def _apart(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Score the rows in passes of their own. [rows, labels]"""
        if encoder.by_logits:
            return self.outputs_of([encoder], texts, rows)[0]
        return super()._by_probability(encoder, texts, rows)

    def shares_text(self, encoders: Sequence[Encoder], texts: Texts, rows: Rows) -> bool:
        """Return whether these encoders, which have a text alike, can be scored in one pass.

        It is tried once, on few rows: models with windows, recurrent states or positions of their
        own give other scores so.
        """
        if not all(len(encoder.ending) for encoder in encoders):
            return False
        if self.adapter is not None and self.adapter.adds_places:
            return False
        if self._shares is None:
            few = rows[:2]

            def apart(own: Encoder) -> Tensor:
                return by_windows(partial(self._apart, own), own, texts, few)

            self._shares = not _has_window(self.module.config) and self.outputs_agree(
                lambda: torch.stack([apart(own) for own in encoders]),
                lambda: self.outputs_together(encoders, texts, few),
            )
        return self._shares

    def outputs_together(self, encoders: Sequence[Encoder], texts: Texts, rows: Rows) -> Tensor:
        """Score the rows by several patterns that share their text. [encoders, rows, labels]"""
        ask = partial(self._together, encoders)
        return by_windows(ask, encoders[0], texts, rows)

    def _together(self, encoders: Sequence[Encoder], texts: Texts, rows: Rows) -> Tensor:
        branches = Branches.of(encoders)
        additive = self.module.config._attn_implementation != "sdpa"
        inputs, start = with_branches(
            branches, encoders, texts, rows, self.device, additive=additive
        )
        short = all(encoder.by_logits for encoder in encoders)
        columns = torch.arange(start, start + len(branches), device=self.device)
        if not short:
            logits = self._whole_logits(inputs, columns.expand(len(rows), -1))
            logs = logits - logits.logsumexp(-1, keepdim=True)
            return torch.stack(
                [
                    label_scores(own, branches.word_scores(logs, place, own))
                    for place, own in enumerate(encoders)
                ]
            )
        vocabulary = single_tokens(encoders)
        ends = columns[branches.ends].expand(len(rows), -1)
        logits = self._logits(inputs, ends, vocabulary)
        return mean_scores(encoders, logits.unbind(1), vocabulary)

    def passes(self, encoder: Encoder) -> int:
        longer = sum(len(word) > 1 for word in encoder.words.distinct)
        return 1 if self._shares else 1 + longer

    def language_model_loss(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the mean loss of predicting every next token."""
        return self._next_token_loss(encoder.batch(texts, rows), encoder.prompt_end)

    def _next_token_loss(self, batch: Batch, prompt_end: int) -> Tensor:
        inputs = batch_tensors(batch, self.device)
        logits = self.forward(inputs).logits[:, :-1].float()
        targets = inputs["input_ids"][:, 1:].masked_fill(inputs["attention_mask"][:, 1:] == 0, -100)
        targets[:, : max(0, prompt_end - 1)] = -100  # what stands for a prompt is no text
        if not (targets != -100).any():  # every text is a single token
            return self._no_loss()
        return functional.cross_entropy(logits.transpose(1, 2), targets)

    def _word_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> dict[Word, Tensor]:
        """Compute log p(word) exactly, token after token: one pass, and one per longer word."""
        batch = encoder.batch(texts, rows)
        words = encoder.words.distinct
        first = word_logs(self._logits(*self._inputs(batch)), [word[:1] for word in words])
        found = {}
        for word in words:
            found[word] = first[word[:1]][:, 0]
            if len(word) > 1:
                logits = self._logits(*self._inputs(_continued(batch, word)))
                found[word] = found[word] + word_logs(logits, [word[1:]])[word[1:]].sum(1)
        return found


def _has_window(config: Any) -> bool:
    """Return whether some layer sees the nearest tokens only."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None) or ()
    window = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    return bool(window) or any(kind != "full_attention" for kind in kinds)


def _continued(batch: Batch, word: Word) -> Batch:
    """Append all but a word's last token to the rows; ask for the prediction after each."""
    extra = len(word) - 1
    rows = len(batch.ids)
    lengths = batch.attention.sum(axis=1)
    ids = np.concatenate([batch.ids, np.repeat(batch.ids[:, -1:], extra, axis=1)], axis=1)
    attention = np.concatenate([batch.attention, np.zeros((rows, extra), np.int64)], axis=1)
    columns = lengths[:, None] + np.arange(extra)
    np.put_along_axis(ids, columns, np.asarray(word[:-1])[None], axis=1)
    np.put_along_axis(attention, columns, 1, axis=1)
    types = None if batch.types is None else np.zeros_like(ids)
    return Batch(ids, attention, types, columns)
