"""Masked language models, which are asked for words at their mask tokens (BERT; BART)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pet.models.batching import Rows
from pet.models.cloze_model import ClozeModel, Word, word_logs
from pet.models.fast_paths import head_at
from pet.models.model import Tensors, Texts, batch_tensors
from pet.tasks.encoding import Batch, Encoder, LabelWords, Reading


def mask_tokens(
    batch: Batch, tokenizer: Any, vocabulary: int
) -> tuple[Batch, NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Hide tokens; return the changed batch, the tokens hidden, and their rows and columns.

    Args:
        vocabulary: how many tokens there are to draw others from.
    """
    allowed = (batch.attention == 1) & ~np.isin(batch.ids, tokenizer.all_special_ids)
    chance = torch.rand(*batch.ids.shape, 2).numpy()
    chosen = allowed & (chance[..., 0] < 0.15)
    ids = batch.ids.copy()
    ids[chosen & (chance[..., 1] < 0.8)] = tokenizer.mask_token_id
    replaced = chosen & (chance[..., 1] >= 0.9)
    ids[replaced] = torch.randint(vocabulary, (int(replaced.sum()),)).numpy()
    rows, columns = np.nonzero(chosen)
    hidden = Batch(ids, batch.attention, batch.types, batch.masks)
    return hidden, batch.ids[chosen], (rows, columns)


# Passes that fill the masks of label words, one a token, before the words are too many for it: then
# all masks of a word are predicted at once, as in training.
MOST_FILLING = 40


class MaskedModel(ClozeModel):
    """A masked language model."""

    reading: Reading = "masked"

    def passes(self, encoder: Encoder) -> int:
        words = encoder.words
        return len(words.mask_counts) + (_filling(words) if _fills(words) else 0)

    def language_model_loss(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the mean loss of the model's own pre-training task on filled patterns.

        15 % of the tokens are chosen, of which 80 % are masked, 10 % replaced and 10 % kept.
        """
        batch = encoder.batch(texts, rows)
        hidden, targets, columns = mask_tokens(batch, self.tokenizer, self.vocabulary)
        if not len(targets):  # chance has chosen none of a few tokens
            return self._no_loss()
        places = [torch.from_numpy(place).to(self.device) for place in columns]
        where = head_at(self._backbone, places[0][None], places[1][None])
        with where as gathered:
            logits = self.forward(batch_tensors(hidden, self.device)).logits
        if not gathered:
            logits = logits[places[0], places[1]][None]
        return functional.cross_entropy(
            logits[0].float(), torch.from_numpy(targets).to(self.device)
        )

    def _word_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> dict[Word, Tensor]:
        """Compute log p(word) as section 3.1 of "It's Not Just Size That Matters" (2021) does.

        q(y|x) gives a word as many masks as it has tokens and fills them best first. Training
        takes the estimate of its equation 3, q~, in one pass: the masks of the longest word, all
        tokens predicted in parallel, and the masks that a word leaves over ignored. So does scoring
        of hundreds of labels, but that each word has as many masks as tokens.
        """
        words = encoder.words.distinct
        if self.module.training:
            inputs, columns = self._inputs(encoder.batch(texts, rows, encoder.longest_word))
            parallel = word_logs(self._logits(inputs, columns), words)
            return {word: logs.sum(1) for word, logs in parallel.items()}
        found = {}
        for masks in encoder.words.mask_counts:
            inputs, columns = self._inputs(encoder.batch(texts, rows, masks))
            alike = [word for word in words if len(word) == masks]
            for word, logs in word_logs(self._logits(inputs, columns), alike).items():
                fills = _fills(encoder.words)
                found[word] = (
                    self._best_first(inputs, columns, word, logs) if fills else logs.sum(1)
                )
        return found

    def _best_first(self, inputs: Tensors, columns: Tensor, word: Word, logs: Tensor) -> Tensor:
        """Fill a word's masks, each row its likeliest next, and sum the log p of each. [rows]

        All stays on the device: the next pass is queued before this one's choices are known here.

        Args:
            columns: where the masks are. [rows, tokens of the word]
            logs: log p of the word's tokens there while all are masked. [rows, tokens of the word]
        """
        ids = inputs["input_ids"]
        tokens = torch.tensor(word, device=self.device).expand(len(ids), -1)
        score = torch.zeros(len(ids), device=self.device)
        for _ in word[1:]:
            best, place = logs.max(1, keepdim=True)
            score = score + best[:, 0]
            ids = ids.scatter(1, columns.gather(1, place), tokens.gather(1, place))
            columns, tokens = _without(columns, place), _without(tokens, place)
            logits = self._logits({**inputs, "input_ids": ids}, columns)
            logs = logits.gather(2, tokens[..., None])[..., 0] - logits.logsumexp(-1)
        return score + logs[:, 0]


def _filling(words: LabelWords) -> int:
    """Count the passes after the first that fill the masks of all words, one by one."""
    return sum(len(word) - 1 for word in words.distinct)


def _fills(words: LabelWords) -> bool:
    return _filling(words) <= MOST_FILLING


def _without(values: Tensor, place: Tensor) -> Tensor:
    """Drop one of each row's values. [rows, n], places [rows, 1] -> [rows, n - 1]"""
    kept = torch.arange(values.shape[1] - 1, device=values.device)
    return values.gather(1, kept + (kept >= place))
