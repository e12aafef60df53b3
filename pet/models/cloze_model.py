"""A language model that is asked for label words: masked models at the mask, causal ones next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM

from pet.config import ModelRef
from pet.models.batching import Rows
from pet.models.fast_paths import head_at, head_for, restricted_to
from pet.models.loading import (
    check_vocabulary,
    kind_of,
    load_config,
    load_tokenizer,
    load_whole,
    model_problems,
    refuse_unloadable,
)
from pet.models.model import Model, Precision, Tensors, Texts, batch_tensors
from pet.models.shared_text import Branches, with_branches
from pet.tasks.encoding import Batch, Encoder, LabelWords, joined


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


Word = tuple[int, ...]  # its token ids


class ClozeModel(Model):
    """A masked or causal language model that scores labels by their words at the mask.

    s(l|x) of section 3.1 (Schick and Schütze 2021) for words of one token is the raw logit of the
    word; of several words, the mean of their scores. The head is applied at the masks only, and
    to the rows of the label words only.
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        device: torch.device,
        causal: bool,
        *,
        precision: Precision = "auto",
    ):
        super().__init__(module, tokenizer, device, precision=precision)
        self.causal = causal
        self._restricts: bool | None = None
        self._shares: bool | None = None
        self._backbone = getattr(module, module.base_model_prefix)

    @classmethod
    def load(
        cls,
        ref: ModelRef,
        device: torch.device,
        *,
        precision: Precision = "auto",
    ) -> ClozeModel:
        """Load weights from safetensors, never from a pickle and never with remote code.

        Raises:
            InputError: no such model, no language-model head, or weights that are not safetensors.
        """
        refuse_unloadable(ref)
        tokenizer, config = load_tokenizer(ref), load_config(ref)
        with model_problems(ref.name):
            kind = kind_of(config, ref.name)
            check_vocabulary(tokenizer, config, ref.name)
            module = load_whole(kind, ref)
        return cls(module, tokenizer, device, kind is AutoModelForCausalLM, precision=precision)

    def outputs(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Score every label for the rows. [rows, labels], float32

        Words of several tokens are scored by log-probability, and then so are all words of the
        verbalizer, since raw logits of one place cannot be set beside sums over several.
        """
        if not encoder.by_logits and self.shares_text([encoder], texts, rows):
            return self.outputs_together([encoder], texts, rows)[0]
        return self._apart(encoder, texts, rows)

    def _apart(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Score the rows in passes of their own. [rows, labels]"""
        if encoder.by_logits:
            return self.outputs_of([encoder], texts, rows)[0]
        score = self._causal_word_scores if self.causal else self._masked_word_scores
        return _label_scores(encoder, score(encoder, texts, rows))

    def shares_text(self, encoders: Sequence[Encoder], texts: Texts, rows: Rows) -> bool:
        """Return whether these encoders, which have a text alike, can be scored in one pass.

        It is tried once, on few rows: models with windows, recurrent states or positions of their
        own give other scores so.
        """
        if not self.causal or not all(len(encoder.ending) for encoder in encoders):
            return False
        if self.adapter is not None and self.adapter.adds_places:
            return False
        if self._shares is None:
            few = rows[:2]
            self._shares = not _has_window(self.module.config) and self.outputs_agree(
                lambda: torch.stack([self._apart(own, texts, few) for own in encoders]),
                lambda: self.outputs_together(encoders, texts, few),
            )
        return self._shares

    def outputs_together(self, encoders: Sequence[Encoder], texts: Texts, rows: Rows) -> Tensor:
        """Score the rows by several patterns that share their text. [encoders, rows, labels]"""
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
                    _label_scores(own, branches.word_scores(logs, place, own))
                    for place, own in enumerate(encoders)
                ]
            )
        vocabulary = _single_tokens(encoders)
        ends = columns[branches.ends].expand(len(rows), -1)
        logits = self._logits(inputs, ends, vocabulary)
        return _mean_scores(encoders, logits.unbind(1), vocabulary)

    def output_width(self, encoder: Encoder) -> int:
        """How many labels are scored."""
        return len(encoder.words.tokens)

    def passes(self, encoder: Encoder) -> int:
        """How many passes the model makes over a row to score it."""
        words = encoder.words
        if self.causal:
            longer = sum(len(word) > 1 for word in words.distinct)
            return 1 if self._shares else 1 + longer
        return len(words.mask_counts) + sum(len(word) - 1 for word in words.distinct)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are: some tokenizers have more, behind the embeddings."""
        return min(len(self.tokenizer), len(self.module.get_input_embeddings().weight))

    def language_model_loss(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the mean loss of the model's own pre-training task on filled patterns.

        Masked models: 15 % of the tokens are chosen, of which 80 % are masked, 10 % replaced and
        10 % kept. Special tokens, padding, the pattern's own mask and the places of a prompt are
        never chosen, as the paper says and its code does not do. Causal models: every next token.
        """
        batch = encoder.batch(texts, rows)
        if self.causal:
            return self._next_token_loss(batch, encoder.prompt_end)
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

    def _next_token_loss(self, batch: Batch, prompt_end: int) -> Tensor:
        inputs = batch_tensors(batch, self.device)
        logits = self.forward(inputs).logits[:, :-1].float()
        targets = inputs["input_ids"][:, 1:].masked_fill(inputs["attention_mask"][:, 1:] == 0, -100)
        targets[:, : max(0, prompt_end - 1)] = -100  # what stands for a prompt is no text
        if not (targets != -100).any():  # every text is a single token
            return self._no_loss()
        return functional.cross_entropy(logits.transpose(1, 2), targets)

    def _no_loss(self) -> Tensor:
        """Return a loss of nothing to predict: a step that changes nothing."""
        return torch.zeros((), device=self.device, requires_grad=True)

    def outputs_of(self, encoders: Sequence[Encoder], texts: Texts, rows: Rows) -> Tensor:
        """Score the rows as filled by several encoders, in one pass. [encoders, rows, labels]

        Words of one token only. Where the model wears stacked prompts, each encoder's rows have
        the prompt of its place.
        """
        vocabulary = _single_tokens(encoders)
        batch = joined(
            [encoder.batch(texts, rows) for encoder in encoders], self.tokenizer.pad_token_id
        )
        logits = self._logits(*self._inputs(batch), vocabulary)[:, 0]
        return _mean_scores(encoders, logits.split(len(rows)), vocabulary)

    def _masked_word_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> dict[Word, Tensor]:
        """Compute log p(word) as section 3.1 of "It's Not Just Size That Matters" (2021) does.

        q(y|x) gives a word as many masks as it has tokens and fills them best first. Training
        takes the estimate of its equation 3, q~, in one pass: the masks of the longest word, all
        tokens predicted in parallel, and the masks that a word leaves over ignored.
        """
        words = encoder.words.distinct
        if self.module.training:
            inputs, columns = self._inputs(encoder.batch(texts, rows, encoder.longest_word))
            parallel = _word_logs(self._logits(inputs, columns), words)
            return {word: logs.sum(1) for word, logs in parallel.items()}
        found = {}
        for masks in encoder.words.mask_counts:
            inputs, columns = self._inputs(encoder.batch(texts, rows, masks))
            alike = [word for word in words if len(word) == masks]
            for word, logs in _word_logs(self._logits(inputs, columns), alike).items():
                found[word] = self._best_first(inputs, columns, word, logs)
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

    def _causal_word_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> dict[Word, Tensor]:
        """Compute log p(word) exactly, token after token: one pass, and one per longer word."""
        batch = encoder.batch(texts, rows)
        words = encoder.words.distinct
        first = _word_logs(self._logits(*self._inputs(batch)), [word[:1] for word in words])
        found = {}
        for word in words:
            found[word] = first[word[:1]][:, 0]
            if len(word) > 1:
                logits = self._logits(*self._inputs(_continued(batch, word)))
                found[word] = found[word] + _word_logs(logits, [word[1:]])[word[1:]].sum(1)
        return found

    def _inputs(self, batch: Batch) -> tuple[Tensors, Tensor]:
        """Put a batch on the device, and the columns of its masks. [rows, masks]"""
        return batch_tensors(batch, self.device), torch.from_numpy(batch.masks).to(self.device)

    def _logits(
        self, inputs: Tensors, columns: Tensor, vocabulary: Sequence[int] | None = None
    ) -> Tensor:
        """Return logits at the columns: [rows, columns, words], or all words if none are named."""
        if vocabulary is not None and not self._can_restrict(inputs, columns, vocabulary):
            return self._forward(inputs, columns, None)[:, :, vocabulary]
        return self._forward(inputs, columns, vocabulary)

    def _forward(
        self, inputs: Tensors, columns: Tensor, vocabulary: Sequence[int] | None
    ) -> Tensor:
        layer = self.last_layer(self._backbone, inputs, columns, self._whole_logits)
        with head_for(self.module, vocabulary):
            if layer is None:
                return self._whole_logits(inputs, columns)
            with restricted_to(layer, columns):
                logits: Tensor = self.forward(inputs).logits
            return logits.float()

    def _whole_logits(self, inputs: Tensors, columns: Tensor) -> Tensor:
        """Compute every layer everywhere, and the head at the columns."""
        rows = torch.arange(len(columns), device=self.device)[:, None]
        with head_at(self._backbone, rows, columns) as gathered:
            logits = self.forward(inputs).logits
        return (logits if gathered else logits[rows, columns]).float()

    def _can_restrict(self, inputs: Tensors, columns: Tensor, vocabulary: Sequence[int]) -> bool:
        """Try once, on few rows, whether the head can be cut down to some words of this model.

        It cannot where the head has parts of the vocabulary's size (BART).
        """
        if self._restricts is None:
            few = self.smallest_batch(inputs, columns)
            self._restricts = self.outputs_agree(
                lambda: self._forward(*few, None)[:, :, vocabulary],
                lambda: self._forward(*few, vocabulary),
            )
        return self._restricts


def _label_scores(encoder: Encoder, by_word: Mapping[Word, Tensor]) -> Tensor:
    """Average the scores of each label's words. [rows, labels]"""
    of_labels = [torch.stack([by_word[word] for word in of]) for of in encoder.words.tokens]
    return _with_offset(encoder, torch.stack([of.mean(0) for of in of_labels], dim=1))


def _single_tokens(encoders: Sequence[Encoder]) -> list[int]:
    """List the tokens of all label words, which are of one token each."""
    return sorted({token for own in encoders for (token,) in own.words.distinct})


def _mean_scores(
    encoders: Sequence[Encoder], logits: Sequence[Tensor], vocabulary: Sequence[int]
) -> Tensor:
    """Average the logits of each label's words of one token. [encoders, rows, labels]

    Args:
        logits: one tensor for each encoder. Each [rows, vocabulary]
    """
    return torch.stack(
        [
            _with_offset(encoder, own @ _mean_matrix(encoder.words, vocabulary).to(own))
            for encoder, own in zip(encoders, logits, strict=True)
        ]
    )


def _with_offset(encoder: Encoder, scores: Tensor) -> Tensor:
    if encoder.offset is None:
        return scores
    return scores + torch.from_numpy(encoder.offset).to(scores)


def _has_window(config: Any) -> bool:
    """Return whether some layer sees the nearest tokens only."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None) or ()
    window = getattr(text, "sliding_window", None) and getattr(text, "use_sliding_window", True)
    return bool(window) or any(kind != "full_attention" for kind in kinds)


def _word_logs(logits: Tensor, words: Sequence[Word]) -> dict[Word, Tensor]:
    """Return log p of every word's tokens, each at its place. Each [rows, tokens of the word]

    Only these are kept of the logits [rows, places, vocabulary], which are large.
    """
    places = [place for word in words for place in range(len(word))]
    tokens = [token for word in words for token in word]
    logs = logits[:, places, tokens] - logits.logsumexp(-1)[:, places]
    return dict(zip(words, logs.split([len(word) for word in words], dim=1), strict=True))


def _without(values: Tensor, place: Tensor) -> Tensor:
    """Drop one of each row's values. [rows, n], places [rows, 1] -> [rows, n - 1]"""
    kept = torch.arange(values.shape[1] - 1, device=values.device)
    return values.gather(1, kept + (kept >= place))


def _mean_matrix(words: LabelWords, vocabulary: Sequence[int]) -> Tensor:
    """Average the words of each label. [words, labels]"""
    place = {word: row for row, word in enumerate(vocabulary)}
    matrix = torch.zeros(len(vocabulary), len(words.tokens))
    for label, of_label in enumerate(words.tokens):
        for word in of_label:
            matrix[place[word[0]], label] += 1 / len(of_label)
    return matrix


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
