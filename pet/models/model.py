"""What every model here can do, and the ordinary classifier: the student, and the baseline."""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torch.nn import Module
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoModelForSequenceClassification,
)

from pet.config import ModelRef
from pet.errors import InputError, Problem, is_out_of_memory
from pet.models.adapter import ActiveAdapter, Adapter
from pet.models.batching import Rows
from pet.models.fast_paths import last_layer, restricted_to
from pet.models.loading import (
    AS_TOKENIZED,
    check_vocabulary,
    from_safetensors,
    is_encoder_decoder,
    load_config,
    load_tokenizer,
    load_whole,
    model_problems,
    quiet,
    refuse_unloadable,
    seeded,
    usual_precision,
)
from pet.models.window_pooling import by_windows
from pet.tasks.encoding import Batch, Encoder, TextSlot, TokenizedTexts

Texts = Mapping[TextSlot, TokenizedTexts]

Loss = Callable[[Tensor, Rows], Tensor]

Tensors = dict[str, Tensor]  # what a module takes, each [rows, tokens]

Ask = Callable[[Tensors, Tensor], Tensor]

Precision = Literal["auto", "float32", "bfloat16", "int8"]

# Whether this thread compares two ways to compute: others go on in the model's own precision.
_in_float32: ContextVar[bool] = ContextVar("in_float32", default=False)


def batch_tensors(batch: Batch, device: torch.device) -> Tensors:
    """Put a batch on the device, under the names that a module takes."""
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
            "bfloat16" is that on every device; "int8" is that for linear layers that score on a
            CPU, and else as "auto". Weights, scores and losses are float32 always.
        adapter: what changes the module's computation, if anything does.
        switch: what is in force in the module now.
    """

    adapter: Adapter | None = None
    _shortens: bool | None = None

    def __init__(
        self, module: Any, tokenizer: Any, device: torch.device, *, precision: Precision = "auto"
    ):
        self.module = module.to(device)
        self.tokenizer = tokenizer
        self.device = device
        self.precision: Precision = precision
        self.active_adapter = ActiveAdapter()

    def with_adapter(self, adapter: Adapter | None) -> Self:
        """Return the model with an adapter of its module in force, or with none.

        It shares the module with this one, and may be asked in turn with it: each puts its own
        adapter in force first.
        """
        worn = copy.copy(self)
        worn.adapter = adapter
        return worn

    def forward(self, inputs: Mapping[str, Any]) -> Any:
        """Run the module in the model's precision, with its adapter in force."""
        self.active_adapter.set(self.adapter)
        with self.autocast():
            return self.module(**inputs)

    def last_layer(
        self, backbone: Any, inputs: Tensors, columns: Tensor, ask: Ask
    ) -> Module | None:
        """Return the last layer, if it may be computed at the columns alone; tried once.

        Args:
            columns: where the rows are looked at. [rows, columns]
            ask: gives the model's outputs at these columns.
        """
        self.active_adapter.set(self.adapter)  # another's may have its own way to attend
        layer = last_layer(backbone)
        if layer is not None and self._shortens is None:
            few, places = self.smallest_batch(inputs, columns)

            def in_part() -> Tensor:
                with restricted_to(layer, places):
                    return ask(few, torch.arange(places.shape[1]).expand(places.shape))

            self._shortens = self.outputs_agree(lambda: ask(few, places), in_part)
        return layer if self._shortens else None

    def smallest_batch(self, inputs: Tensors, columns: Tensor) -> tuple[Tensors, Tensor]:
        """Take as few rows as the model can be asked about."""
        rows = 1 if self.adapter is None else self.adapter.fewest_rows
        return {name: tensor[:rows] for name, tensor in inputs.items()}, columns[:rows]

    def outputs_agree(self, whole: Callable[[], Tensor], short: Callable[[], Tensor]) -> bool:
        """Return whether a short way gives what the whole way gives, while nothing is learned.

        Both in float32, and held against how much the labels or words differ: all that a new
        head gives is small.
        """
        training = self.module.training
        self.module.eval()
        token = _in_float32.set(True)
        try:
            with torch.no_grad():
                one, other = (out - out.mean(-1, keepdim=True) for out in (whole(), short()))
                return bool((one - other).norm() <= 1e-3 * one.norm())
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            return False  # masks of another shape than BLOOM's, say
        finally:
            _in_float32.reset(token)
            self.module.train(training)

    def trained(self) -> dict[str, torch.nn.Parameter]:
        """What training changes, by name: what is not frozen of the module, and the adapter."""
        self.active_adapter.set(self.adapter)
        own = {n: p for n, p in self.module.named_parameters() if p.requires_grad}
        return own if self.adapter is None else {**own, **self.adapter.parameters()}

    def outputs(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Score every label for the rows. [rows, labels], float32"""
        return by_windows(partial(self.outputs_at_once, encoder), encoder, texts, rows)

    def reads_label_words_alone(self, encoder: Encoder, texts: Texts, rows: Rows) -> bool:
        """Return whether scores need no other of the vocabulary's output weights.

        Args:
            rows: some of `texts`, of which the first are scored to find out.
        """
        return True

    @abstractmethod
    def outputs_at_once(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Score rows of which each is read at once. [rows, labels], float32"""

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
        """An adapter's own, or 5e-4 at BERT-tiny's width of 128, by the square of the width.

        That is 1.4e-5 at 768 and 0.8e-5 at RoBERTa-large's 1,024, where the paper has 1e-5. The
        5e-4 was chosen on other labeled sets and rows than those that are reported.
        """
        width = float(self.module.config.get_text_config().hidden_size)
        if self.adapter is not None:
            return self.adapter.learning_rate(int(width))
        return float(5e-4 * (128 / width) ** 2)

    def set_dropout(self, probability: float | None) -> None:
        """Train with this dropout everywhere instead of the model's own; LoRA has its own."""
        if probability is None:
            return
        for place, module in self.module.named_modules():
            if ".lora_dropout." in place:
                continue
            if isinstance(module, torch.nn.Dropout):
                module.p = probability
            for name in ("dropout", "dropout_prob", "attention_dropout", "activation_dropout"):
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, probability)

    def autocast(self) -> torch.autocast:
        """Let the forward pass inside compute in the model's precision."""
        chosen = "float32" if _in_float32.get() else self.precision
        if chosen in ("auto", "int8"):
            chosen = usual_precision(self.device)
        return torch.autocast(self.device.type, torch.bfloat16, enabled=chosen == "bfloat16")


def _refuse_headless(ref: ModelRef) -> None:
    """Refuse a model that transformers has no classification head for."""
    config = load_config(ref)
    found = ""
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        found = f"{config.model_type}, for which it has none"
    elif is_encoder_decoder(config):
        found = f"{config.model_type}, a model of encoder and decoder"
    if found:
        raise InputError(
            Problem(
                ref.name,
                "a model that transformers has a classification head for, as the student",
                found,
                "name another one: --student-model roberta-base, or for texts that are not "
                "English --student-model xlm-roberta-base",
            )
        )


def head_weights(module: Any) -> frozenset[str]:
    """Name the weights that a classifier has in front of its backbone."""
    inside = {id(parameter) for parameter in module.base_model.parameters()}
    return frozenset(n for n, parameter in module.named_parameters() if id(parameter) not in inside)


def _refuse_other_shapes(
    ref: str, mismatched: Iterable[tuple[str, Any, Any]], head: frozenset[str]
) -> None:
    """Refuse weights of the backbone that transformers drew anew, since they did not fit."""
    for name, found, expected in sorted(mismatched, key=str):
        if name not in head:
            raise InputError(
                Problem(
                    f"{ref}: its weights",
                    f"{name} of the shape {list(expected)}",
                    f"{list(found)}",
                    "copy config.json and weights of one and the same model",
                )
            )


def _draw_head(module: Any, head: frozenset[str], seed: int) -> None:
    """Put new weights in the place of a head that was trained for other labels."""
    with seeded(seed), quiet():
        new = AutoModelForSequenceClassification.from_config(module.config, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in new.named_parameters():
            if name in head:
                module.get_parameter(name).copy_(parameter)


class Classifier(Model):
    """A plain sequence classifier: the student, and the supervised baseline.

    Attributes:
        drawn: names of weights that the pretrained model did not have.
    """

    drawn: frozenset[str] = frozenset()

    @classmethod
    def fresh(
        cls,
        ref: ModelRef,
        labels: Sequence[str],
        device: torch.device,
        seed: int,
        *,
        precision: Precision = "auto",
        several: bool = False,
    ) -> Classifier:
        """Put a new classification head, drawn from `seed`, on a pretrained model.

        A head that the checkpoint has of another task is not taken, whatever its labels are.

        Args:
            several: whether a text may have several labels; transformers' pipeline then gives each
                a probability of its own.

        Raises:
            InputError: the model cannot be had, or its weights are of another shape than it says.
        """
        names = dict(enumerate(labels))
        refuse_unloadable(ref)
        _refuse_headless(ref)
        tokenizer = load_tokenizer(ref, **AS_TOKENIZED)
        with seeded(seed), model_problems(ref.name, "its weights"):
            module, loaded = from_safetensors(
                AutoModelForSequenceClassification,
                ref,
                num_labels=len(labels),
                id2label=names,
                label2id={label: index for index, label in names.items()},
                ignore_mismatched_sizes=True,
                **({"problem_type": "multi_label_classification"} if several else {}),
            )
        drawn, head = frozenset(loaded["missing_keys"]), head_weights(module)
        _refuse_other_shapes(ref.name, loaded["mismatched_keys"], head)
        if not head & drawn:
            _draw_head(module, head, seed)
            drawn |= head
        check_vocabulary(tokenizer, module.config, ref.name)
        module.config.pad_token_id = tokenizer.pad_token_id
        model = cls(module, tokenizer, device, precision=precision)
        model.drawn = drawn
        return model

    @classmethod
    def without_weights(cls, ref: ModelRef, labels: Sequence[str]) -> Classifier:
        """Build a classifier from a model's configuration, on the meta device.

        Raises:
            InputError: transformers has no classification head for such a model.
        """
        _refuse_headless(ref)
        config = load_config(ref)
        config.num_labels = len(labels)
        with model_problems(ref.name), torch.device("meta"):
            kind: Any = AutoModelForSequenceClassification
            module = kind.from_config(config, trust_remote_code=False)
        return cls(module, load_tokenizer(ref), torch.device("meta"))

    @classmethod
    def load(
        cls, folder: str, device: torch.device, *, precision: Precision = "auto"
    ) -> Classifier:
        """Load a saved classifier.

        Raises:
            InputError: the folder holds none.
        """
        ref = ModelRef(folder)
        refuse_unloadable(ref)
        tokenizer = load_tokenizer(ref, **AS_TOKENIZED)
        with model_problems(folder):
            module = load_whole(AutoModelForSequenceClassification, ref)
        return cls(module, tokenizer, device, precision=precision)

    def outputs_at_once(self, encoder: Encoder, texts: Texts, rows: Rows) -> Tensor:
        """Return the classifier's logits. [rows, labels], float32

        Classifiers of BERT's make look at the first token alone.
        """
        inputs = batch_tensors(encoder.batch(texts, rows), self.device)
        first = torch.zeros((len(rows), 1), dtype=torch.long, device=self.device)
        backbone = getattr(self.module, "base_model", None)  # an ONNX session has none
        layer = self.last_layer(backbone, inputs, first, self._logits)
        with contextlib.nullcontext() if layer is None else restricted_to(layer, first):
            return self._logits(inputs, first)

    def _logits(self, inputs: Tensors, _columns: Tensor) -> Tensor:
        logits: Tensor = self.forward(inputs).logits
        return logits.float()

    def output_width(self, encoder: Encoder) -> int:
        """How many labels are scored."""
        return int(self.module.config.num_labels)
