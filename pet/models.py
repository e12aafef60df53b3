"""The models: a language model that is asked for label words, and an ordinary classifier."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from pet.encoding import Batch, Encoder, LabelWords, TextSlot, TokenizedTexts
from pet.loading import (
    kind_of,
    load_tokenizer,
    load_whole,
    model_problems,
    quiet,
    refuse_unloadable,
    seeded,
)
from pet.masking import mask_tokens

Texts = Mapping[TextSlot, TokenizedTexts]
Rows = NDArray[np.int64]


def _tensors(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    inputs = {"input_ids": batch.ids, "attention_mask": batch.attention}
    if batch.types is not None:
        inputs["token_type_ids"] = batch.types
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    if device.type == "cuda":
        return {name: t.pin_memory().to(device, non_blocking=True) for name, t in tensors.items()}
    return {name: tensor.to(device) for name, tensor in tensors.items()}


class _Model:
    """What both kinds share: a module, its tokenizer, its device."""

    def __init__(self, module: Any, tokenizer: Any, device: torch.device):
        self.module = module.to(device)
        self.tokenizer = tokenizer
        self.device = device

    def save(self, folder: Path) -> None:
        """Write safetensors, configuration and tokenizer; plain transformers loads it."""
        with quiet():
            self.module.save_pretrained(folder)
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
        """bfloat16 on CUDA, full precision elsewhere."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")


class ClozeModel(_Model):
    """A masked or causal language model that scores labels by their words at the mask.

    s(l|x) of section 3.1 (Schick and Schütze 2021) for words of one token is the raw logit of the
    word; of several words, the mean of their scores. The head is applied at the masks only, and
    to the rows of the label words only.
    """

    def __init__(self, module: Any, tokenizer: Any, device: torch.device, causal: bool):
        super().__init__(module, tokenizer, device)
        self.causal = causal
        self._restricts: bool | None = None
        self._backbone = getattr(module, module.base_model_prefix)

    @classmethod
    def load(cls, ref: str, revision: str | None, device: torch.device) -> ClozeModel:
        """Load weights from safetensors, never from a pickle and never with remote code.

        Raises:
            InputError: no such model, no language-model head, or weights that are not safetensors.
        """
        refuse_unloadable(ref, revision)
        tokenizer = load_tokenizer(ref, revision)
        with model_problems(ref):
            config = AutoConfig.from_pretrained(ref, revision=revision, trust_remote_code=False)
            kind = kind_of(config, ref)
            module = load_whole(kind, ref, revision)
        return cls(module, tokenizer, device, kind is AutoModelForCausalLM)

    def label_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Score every label for the rows. [rows, labels], float32

        Words of several tokens are scored by log-probability, and then so are all words of the
        verbalizer, since raw logits of one place cannot be set beside sums over several.
        """
        words = encoder.words
        if words.mask_counts == (1,):
            scores = self._single_token_scores(encoder, texts, rows)
        else:
            score = self._causal_word_scores if self.causal else self._masked_word_scores
            by_word = score(encoder, texts, rows)
            of_labels = [torch.stack([by_word[word] for word in of]) for of in words.tokens]
            scores = torch.stack([of_label.mean(0) for of_label in of_labels], dim=1)
        if encoder.offset is not None:
            scores = scores + torch.from_numpy(encoder.offset).to(scores)
        return scores

    def label_count(self, encoder: Encoder) -> int:
        """How many labels are scored."""
        return len(encoder.words.tokens)

    def language_model_loss(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the mean loss of the model's own pre-training task on filled patterns.

        Masked models: 15 % of the tokens are chosen, of which 80 % are masked, 10 % replaced and
        10 % kept. Special tokens, padding and the pattern's own mask are never chosen, as the
        paper says and its code does not do. Causal models: every next token.
        """
        batch = encoder.batch(texts, rows)
        if self.causal:
            return self._next_token_loss(batch)
        hidden, targets, columns = mask_tokens(batch, self.tokenizer)
        if not len(targets):
            return torch.zeros((), device=self.device)
        places = [torch.from_numpy(place).to(self.device) for place in columns]
        with self.autocast(), self._head_at(places[0][None], places[1][None]) as gathered:
            logits = self.module(**_tensors(hidden, self.device)).logits
        if not gathered:
            logits = logits[places[0], places[1]][None]
        return functional.cross_entropy(
            logits[0].float(), torch.from_numpy(targets).to(self.device)
        )

    def _next_token_loss(self, batch: Batch) -> Tensor:
        inputs = _tensors(batch, self.device)
        with self.autocast():
            logits = self.module(**inputs).logits[:, :-1].float()
        targets = inputs["input_ids"][:, 1:].masked_fill(inputs["attention_mask"][:, 1:] == 0, -100)
        return functional.cross_entropy(logits.transpose(1, 2), targets)

    def _single_token_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        words = encoder.words
        vocabulary = sorted({word[0] for of_label in words.tokens for word in of_label})
        logits = self._logits(encoder.batch(texts, rows), vocabulary)[:, 0]
        return logits @ _mean_matrix(words, vocabulary).to(logits)

    def _masked_word_scores(
        self, encoder: Encoder, texts: Texts, rows: Rows
    ) -> dict[tuple[int, ...], Tensor]:
        """Estimate log p(word) by as many masks as the word has tokens, predicted in parallel.

        The parallel estimate is the one that the paper trains with (q~, NAACL 2021, equation 3):
        one forward pass per number of tokens, where decoding token by token takes one per token
        and word.
        """
        found = {}
        every_word = {word for of_label in encoder.words.tokens for word in of_label}
        for masks in encoder.words.mask_counts:
            logs = self._logits(encoder.batch(texts, rows, masks)).log_softmax(-1)
            for word in sorted(word for word in every_word if len(word) == masks):
                places = torch.arange(masks, device=logs.device)
                found[word] = logs[:, places, list(word)].sum(-1)
        return found

    def _causal_word_scores(
        self, encoder: Encoder, texts: Texts, rows: Rows
    ) -> dict[tuple[int, ...], Tensor]:
        """Compute log p(word) exactly, token after token: one pass, and one per longer word."""
        batch = encoder.batch(texts, rows)
        first = self._logits(batch)[:, 0].log_softmax(-1)
        found = {}
        for word in sorted({word for of_label in encoder.words.tokens for word in of_label}):
            found[word] = first[:, word[0]]
            if len(word) > 1:
                logs = self._logits(_continued(batch, word)).log_softmax(-1)
                places = torch.arange(len(word) - 1, device=logs.device)
                found[word] = found[word] + logs[:, places, list(word[1:])].sum(-1)
        return found

    def _logits(self, batch: Batch, vocabulary: Sequence[int] | None = None) -> Tensor:
        """Return logits at the masks: [rows, masks, words], or all words if none are named."""
        columns = torch.from_numpy(batch.masks).to(self.device)
        rows = torch.arange(len(batch.ids), device=self.device)[:, None]
        tensors = _tensors(batch, self.device)
        if vocabulary is not None and not self._can_restrict(tensors, rows, columns, vocabulary):
            return self._forward(tensors, rows, columns, None)[:, :, vocabulary]
        return self._forward(tensors, rows, columns, vocabulary)

    def _forward(
        self, tensors: dict[str, Tensor], rows: Tensor, columns: Tensor,
        vocabulary: Sequence[int] | None,
    ) -> Tensor:  # fmt: skip
        with self.autocast(), self._head_at(rows, columns) as gathered, self._head_for(vocabulary):
            logits = self.module(**tensors).logits
        return (logits if gathered else logits[rows, columns]).float()

    def _can_restrict(
        self, tensors: dict[str, Tensor], rows: Tensor, columns: Tensor, vocabulary: Sequence[int]
    ) -> bool:
        """Try once, on one row, whether the head can be cut down to some words of this model."""
        if self._restricts is None:
            one = {name: tensor[:1] for name, tensor in tensors.items()}
            training = self.module.training
            self.module.eval()
            try:
                with torch.no_grad():
                    whole = self._forward(one, rows[:1], columns[:1], None)[:, :, vocabulary]
                    some = self._forward(one, rows[:1], columns[:1], vocabulary)
                self._restricts = torch.allclose(whole, some, rtol=1e-2, atol=1e-2)
            except (RuntimeError, IndexError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                self._restricts = False  # a head with parts of the vocabulary's size (BART)
            finally:
                self.module.train(training)
        return self._restricts

    @contextlib.contextmanager
    def _head_at(self, rows: Tensor, columns: Tensor) -> Iterator[list[bool]]:
        """Let the head see the hidden states at these places only, whatever the architecture.

        Nearly every language model of transformers computes its head from the first output of its
        backbone, so a hook that gathers there works for all of them alike. The few that reach past
        their backbone (OPT) leave the yielded list empty, and the caller gathers from all logits.
        """
        gathered: list[bool] = []

        def gather(_module: Any, _inputs: Any, output: Any) -> Any:
            output["last_hidden_state"] = output[0][rows, columns]
            gathered.append(True)
            return output

        handle = self._backbone.register_forward_hook(gather)
        try:
            yield gathered
        finally:
            handle.remove()

    @contextlib.contextmanager
    def _head_for(self, vocabulary: Sequence[int] | None) -> Iterator[None]:
        """Let the output layer compute these words only."""
        if vocabulary is None:
            yield
            return
        layer = self.module.get_output_embeddings()
        ids = torch.tensor(vocabulary, device=self.device)

        def some_rows(hidden: Tensor) -> Tensor:
            bias = None if layer.bias is None else layer.bias[ids]
            return functional.linear(hidden, layer.weight[ids], bias)

        layer.forward = some_rows
        try:
            yield
        finally:
            del layer.forward


def _mean_matrix(words: LabelWords, vocabulary: Sequence[int]) -> Tensor:
    """Average the words of each label. [words, labels]"""
    place = {word: row for row, word in enumerate(vocabulary)}
    matrix = torch.zeros(len(vocabulary), len(words.tokens))
    for label, of_label in enumerate(words.tokens):
        for word in of_label:
            matrix[place[word[0]], label] += 1 / len(of_label)
    return matrix


def _continued(batch: Batch, word: tuple[int, ...]) -> Batch:
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


class Classifier(_Model):
    """A plain sequence classifier: the student, and the supervised baseline."""

    @classmethod
    def fresh(
        cls, ref: str, revision: str | None, labels: Sequence[str], device: torch.device, seed: int
    ) -> Classifier:
        """Put a new classification head, drawn from `seed`, on a pretrained model."""
        names = dict(enumerate(labels))
        refuse_unloadable(ref, revision)
        tokenizer = load_tokenizer(ref, revision)
        with seeded(seed), model_problems(ref):
            module = AutoModelForSequenceClassification.from_pretrained(
                ref, revision=revision, use_safetensors=True, trust_remote_code=False,
                dtype=torch.float32, num_labels=len(labels), id2label=names,
                label2id={label: index for index, label in names.items()},
            )  # fmt: skip
        module.config.pad_token_id = tokenizer.pad_token_id
        return cls(module, tokenizer, device)

    @classmethod
    def load(cls, folder: str, device: torch.device) -> Classifier:
        """Load a saved classifier.

        Raises:
            InputError: the folder holds none.
        """
        refuse_unloadable(folder, None)
        tokenizer = load_tokenizer(folder)
        with model_problems(folder):
            module = load_whole(AutoModelForSequenceClassification, folder, None)
        return cls(module, tokenizer, device)

    def label_scores(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the classifier's logits. [rows, labels], float32"""
        batch = encoder.batch(texts, rows)
        with self.autocast():
            return self.module(**_tensors(batch, self.device)).logits.float()

    def label_count(self, encoder: Encoder) -> int:
        """How many labels are scored."""
        return int(self.module.config.num_labels)

    def divide_logits(self, temperature: float) -> None:
        """Build a calibration temperature into the last layer, so that plain softmax is honest."""
        heads = [
            module
            for module in self.module.modules()
            if isinstance(module, torch.nn.Linear)
            and module.out_features == self.module.config.num_labels
        ]
        with torch.no_grad():
            heads[-1].weight.div_(temperature)
            if heads[-1].bias is not None:
                heads[-1].bias.div_(temperature)


Scorer = ClozeModel | Classifier
Loss = Callable[[Tensor, Rows], Tensor]
