"""A language model that is asked for label words: what all kinds of them have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pet.errors import is_out_of_memory
from pet.models.batching import MEMORY_ERRORS, Rows
from pet.models.fast_paths import head_at, head_for, restricted_to
from pet.models.model import Model, Precision, Tensors, Texts, batch_tensors
from pet.models.window_pooling import by_windows
from pet.tasks.encoding import Batch, Encoder, LabelWords, Reading, joined

Word = tuple[int, ...]  # its token ids


class ClozeModel(Model):
    """A language model that scores labels by their words.

    s(l|x) of section 3.1 (Schick and Schütze 2021) for words of one token is the raw logit of the
    word; of several words, the mean of their scores. The head is applied at the masks only, and
    to the rows of the label words only.

    Attributes:
        reading: how it is asked for a word.
    """

    reading: Reading

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        device: torch.device,
        *,
        precision: Precision = "auto",
    ):
        super().__init__(module, tokenizer, device, precision=precision)
        self._restricts: bool | None = None
        self._backbone = module.base_model

    def outputs_at_once(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Score rows of which each is read at once. [rows, labels], float32

        Words of several tokens are scored by log-probability, and then so are all words of the
        verbalizer, since raw logits of one place cannot be set beside sums over several.
        """
        if encoder.by_logits:
            return self.outputs_of([encoder], texts, rows)[0]
        return self._by_probability(encoder, texts, rows)

    def _by_probability(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        return label_scores(encoder, self._word_scores(encoder, texts, rows))

    @abstractmethod
    def _word_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> dict[Word, Tensor]:
        """Compute log p of every label word. Each [rows]"""

    @abstractmethod
    def passes(self, encoder: Encoder) -> int:
        """How many passes the model makes over a row to score it."""

    @abstractmethod
    def language_model_loss(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the mean loss of the model's own pre-training task on filled patterns.

        Special tokens, padding, the pattern's own mask and the places of a prompt are never
        predicted, as the paper says and its code does not do.
        """

    def token_logs(
        self, encoder: Encoder, texts: Texts, rows: Rows, tokens: Sequence[int]
    ) -> Tensor:
        """Return log p of words of one token at the mask, whatever the label. [rows, tokens]"""

        def ask(texts: Texts, rows: Rows) -> Tensor:
            logits = self._logits(*self._inputs(encoder.batch(texts, rows)))[:, 0]
            return logits[:, tokens] - logits.logsumexp(-1, keepdim=True)

        return by_windows(ask, encoder, texts, rows)

    def output_width(self, encoder: Encoder) -> int:
        """How many labels are scored."""
        return len(encoder.words.tokens)

    def reads_label_words_alone(self, encoder: Encoder, texts: Texts, rows: Rows) -> bool:
        if not encoder.by_logits:
            return False
        try:
            with torch.no_grad():
                self.outputs_of([encoder], texts, rows[:1])
        except MEMORY_ERRORS as error:
            if not is_out_of_memory(error):
                raise
            return False  # training itself says what to do
        return bool(self._restricts)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are: some tokenizers have more, behind the embeddings."""
        return min(len(self.tokenizer), len(self.module.get_input_embeddings().weight))

    def _no_loss(self) -> Tensor:
        """Return a loss of nothing to predict: a step that changes nothing."""
        return torch.zeros((), device=self.device, requires_grad=True)

    def outputs_of(self, encoders: Sequence[Encoder], texts: Texts, rows: Rows) -> Tensor:
        """Score the rows as filled by several encoders, in one pass. [encoders, rows, labels]

        Words of one token only. Where the model wears stacked prompts, each encoder's rows have
        the prompt of its place.
        """
        vocabulary = single_tokens(encoders)
        batch = joined(
            [encoder.batch(texts, rows) for encoder in encoders], self.tokenizer.pad_token_id
        )
        logits = self._logits(*self._inputs(batch), vocabulary)[:, 0]
        return mean_scores(encoders, logits.split(len(rows)), vocabulary)

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


def label_scores(encoder: Encoder, by_word: Mapping[Word, Tensor]) -> Tensor:
    """Average the scores of each label's words. [rows, labels]"""
    of_labels = [torch.stack([by_word[word] for word in of]) for of in encoder.words.tokens]
    return _with_offset(encoder, torch.stack([of.mean(0) for of in of_labels], dim=1))


def single_tokens(encoders: Sequence[Encoder]) -> list[int]:
    """List the tokens of all label words, which are of one token each."""
    return sorted({token for own in encoders for (token,) in own.words.distinct})


def mean_scores(
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


def word_logs(logits: Tensor, words: Sequence[Word]) -> dict[Word, Tensor]:
    """Return log p of every word's tokens, each at its place. Each [rows, tokens of the word]

    Only these are kept of the logits [rows, places, vocabulary], which are large.
    """
    places = [place for word in words for place in range(len(word))]
    tokens = [token for word in words for token in word]
    logs = logits[:, places, tokens] - logits.logsumexp(-1)[:, places]
    return dict(zip(words, logs.split([len(word) for word in words], dim=1), strict=True))


def _mean_matrix(words: LabelWords, vocabulary: Sequence[int]) -> Tensor:
    """Average the words of each label. [words, labels]"""
    place = {word: row for row, word in enumerate(vocabulary)}
    matrix = torch.zeros(len(vocabulary), len(words.tokens))
    for label, of_label in enumerate(words.tokens):
        for word in of_label:
            matrix[place[word[0]], label] += 1 / len(of_label)
    return matrix
