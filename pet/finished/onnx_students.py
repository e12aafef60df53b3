"""Students as ONNX files: export, int8, predictions. `pip install 'pet[onnx]'`"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pet.errors import InputError, PetError, Problem, is_out_of_memory, missing_package
from pet.models.model import Classifier, batch_tensors
from pet.models.scoring import tokenize_columns
from pet.student.student_folder import Student

PURPOSE = "ONNX"

INLINE_BYTES = 1_500_000_000  # an ONNX file holds no more than 2 GB; larger weights lie beside it

# Two texts of unlike length, so that the exporter sees padding and takes no size for a constant.
TRACED = ("a b c d e f g h i", "a b c")


def require_onnx() -> None:
    """Raise before any work is done if the optional packages are not there.

    Raises:
        InputError: one of them is missing.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _optional(package)


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise missing_package(name.partition(".")[0], "onnx", PURPOSE) from None


class _Logits(torch.nn.Module):
    """A classifier that takes plain tensors and returns the logits alone."""

    def __init__(self, module: Any):
        super().__init__()
        self.module = module

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        found: Tensor = self.module(input_ids=input_ids, attention_mask=attention_mask, **types)[0]
        return found


def export_onnx(student: Student, path: Path) -> None:
    """Write a student on the CPU as ONNX, for any number of rows and tokens.

    Inputs are [rows, tokens], int64; the output is `logits` [rows, labels], float32.

    Exported from the graph that `torch.export` sees: the older, tracing exporter writes attention
    that ignores the mask, without a warning.

    Raises:
        InputError: an optional package is missing, or models of this kind cannot be exported.
    """
    require_onnx()
    module = _Logits(student.classifier.module.eval())
    encoder = student.encoder()
    texts = tokenize_columns(
        encoder, student.classifier.tokenizer, dict.fromkeys(student.record.fields, TRACED)
    )
    example = batch_tensors(encoder.batch(texts, torch.arange(2).numpy()), torch.device("cpu"))
    rows, tokens = torch.export.Dim("rows"), torch.export.Dim("tokens")
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    with _refusing(student), _silent():
        torch.onnx.export(
            module,
            (),
            path,
            kwargs=example,
            input_names=list(example),
            output_names=["logits"],
            dynamic_shapes={name: {0: rows, 1: tokens} for name in example},
            dynamo=True,
            external_data=weights > INLINE_BYTES,
            verbose=False,
        )


def quantize(path: Path, out: Path) -> None:
    """Write an ONNX file with int8 weights; activations are quantised as they come.

    Raises:
        InputError: an optional package is missing.
    """
    quantization = _optional("onnxruntime.quantization")
    model = _optional("onnx").load(path)
    # The exporter wrote down shapes of values that quantisation lays out anew; they contradict.
    del model.graph.value_info[:]
    with _silent():
        quantization.quantize_dynamic(model, out, weight_type=quantization.QuantType.QInt8)


@contextlib.contextmanager
def _refusing(student: Student) -> Iterator[None]:
    """Explain in one screen that the exporter, or the runtime, cannot do with a kind of model."""
    try:
        yield
    except (PetError, MemoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        kind = type(student.classifier.module).__name__
        raise InputError(
            Problem(
                "--format onnx",
                "a model that torch can write as ONNX",
                f"{kind}, on which it fails ({type(error.__cause__ or error).__name__})",
                "use --format hf, or another --student-model",
            )
        ) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep the exporters' remarks to themselves; then logging is as it was."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    remarks = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(remarks),
            contextlib.redirect_stderr(remarks),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class _Session(torch.nn.Module):
    """An ONNX file in the place of a transformers module."""

    def __init__(self, path: Path, config: Any):
        super().__init__()
        self.config = config
        self.session = _optional("onnxruntime").InferenceSession(
            path, providers=["CPUExecutionProvider"]
        )

    def forward(self, **inputs: Tensor) -> Any:
        found = self.session.run(["logits"], {name: t.numpy() for name, t in inputs.items()})
        return _Output(torch.from_numpy(found[0]))


class _Output:
    def __init__(self, logits: Tensor):
        self.logits = logits


def open_onnx(path: Path, student: Student) -> Student:
    """Return the student with its ONNX file in place of the PyTorch module, on the CPU.

    Raises:
        InputError: an optional package is missing.
    """
    with _refusing(student):
        module = _Session(path, student.classifier.module.config)
    tokenizer = student.classifier.tokenizer
    model = Classifier(module, tokenizer, torch.device("cpu"), precision="float32")
    return replace(student, model=model)
