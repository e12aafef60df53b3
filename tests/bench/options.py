"""What the speed options of scoring bring, each beside plain float32 on the same rows."""

from __future__ import annotations

import contextlib
import copy
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from data.cache import cache_root
from pet.finished.onnx_students import export_onnx, open_onnx, quantize
from pet.models import scoring
from pet.models.cloze_model import ClozeModel
from pet.models.masked_model import MaskedModel
from pet.models.model import Precision, Texts
from pet.models.scoring import cloze_encoder, score, tokenize_columns
from pet.student.student_folder import Student, open_student
from pet.tasks.encoding import Encoder
from pet.tasks.task import load_task
from tests.bench.engine import CONFIG, TOKENS_PER_BATCH, model_of, seconds_of, texts_of
from tests.bench.machine import Geometry

ROUNDS = 3
CPU = torch.device("cpu")
Lines = list[tuple[str, ...]]
Score = Callable[[], NDArray[np.float32]]


def scoring_options(geometry: Geometry, kind: str, rows: int) -> Lines:
    """Compare options on a model of random weights.

    Returns:
        Per option: its name, model, kind of text, times as fast as float32, largest difference of
        a score as a share of the scores' range, and what there is to remark.
    """
    model = model_of(geometry, CPU)
    encoder = cloze_encoder(CONFIG, load_task("newsgroups"), model, "category")
    tokens = tokenize_columns(encoder, model.tokenizer, {"text": texts_of(kind)[:rows]})
    compiled, warm_up = _compiled(model, encoder, tokens)
    ways: dict[str, Score] = {
        "float32": lambda: _score(model, encoder, tokens),
        "batches of 8,192 tokens": lambda: _in_large_batches(model, encoder, tokens),
        "bfloat16": lambda: _score(_in(model, "bfloat16"), encoder, tokens),
        "int8": lambda: _score(_in(model, "int8"), encoder, tokens),
        "torch.compile": lambda: _score(compiled, encoder, tokens),
    }
    remarks = {"torch.compile": f"after {warm_up:.0f} s of warm-up"}
    return [
        (name, geometry.name, kind, f"{faster:.2f} x", f"{error:.1%}", remarks.get(name, ""))
        for name, faster, error in _compare(ways)
    ]


def _compare(ways: dict[str, Score]) -> list[tuple[str, float, float]]:
    """Ask in turn; return name, times as fast as the first, largest difference from the first."""
    said = {name: ask() for name, ask in ways.items()}  # a warm-up, too
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, ask in ways.items():
            took[name].append(seconds_of(ask, CPU))
    first = next(iter(ways))
    return [
        (
            name,
            statistics.median(a / b for a, b in zip(took[first], took[name], strict=True)),
            float(np.abs(said[name] - said[first]).max() / np.ptp(said[first])),
        )
        for name in ways
    ]


def _score(model: ClozeModel, encoder: Encoder, tokens: Texts) -> NDArray[np.float32]:
    return score(model, encoder, tokens, tokens_per_batch=TOKENS_PER_BATCH)


def _in(model: ClozeModel, precision: Precision) -> ClozeModel:
    other = copy.copy(model)
    other.precision = precision
    return other


def _compiled(model: ClozeModel, encoder: Encoder, tokens: Texts) -> tuple[ClozeModel, float]:
    """Return the model with its layers compiled for any shape, and the seconds of the first use."""
    other = MaskedModel(copy.deepcopy(model.module), model.tokenizer, CPU)
    other.module.bert.encoder.compile(dynamic=True)
    first = seconds_of(lambda: _score(other, encoder, tokens), CPU)
    return other, first - seconds_of(lambda: _score(other, encoder, tokens), CPU)


def _in_large_batches(model: ClozeModel, encoder: Encoder, tokens: Texts) -> NDArray[np.float32]:
    with _cpu_tokens(TOKENS_PER_BATCH):
        return _score(model, encoder, tokens)


@contextlib.contextmanager
def _cpu_tokens(most: int) -> Iterator[None]:
    before, scoring.CPU_TOKENS = scoring.CPU_TOKENS, most
    try:
        yield
    finally:
        scoring.CPU_TOKENS = before


def student_options(folder: Path, room: Path) -> Lines:
    """Compare ways to ask a trained student about the posts of the test set.

    Args:
        folder: the student's.
        room: where its ONNX files may be written.

    Returns:
        Per way: its name, rows a second, times as fast as float32, accuracy, and share of the rows
        that get the label of float32.
    """
    student = open_student(folder, device="cpu", precision="float32")
    table = pq.read_table(cache_root() / "newsgroups" / "test.parquet").to_pydict()
    columns = {"text": table["text"]}
    truth = np.array([student.record.labels.index(label) for label in table["label"]])
    students: dict[str, Student] = {
        "PyTorch, float32": student,
        **{
            f"PyTorch, {name}": open_student(folder, device="cpu", precision=name)
            for name in ("bfloat16", "int8")
        },
    }
    files = room / "student.onnx", room / "student-int8.onnx"
    export_onnx(student, files[0])
    quantize(*files)
    for name, path in zip(("ONNX Runtime, float32", "ONNX Runtime, int8"), files, strict=True):
        students[name] = open_onnx(path, student)
    asks = {name: lambda own=own: own.logits(columns) for name, own in students.items()}
    faster = {name: ratio for name, ratio, _ in _compare(asks)}
    slowest = seconds_of(asks["PyTorch, float32"], CPU)
    best = {name: ask().argmax(axis=1) for name, ask in asks.items()}
    return [
        (
            name,
            f"{faster[name] * len(truth) / slowest:,.0f}",
            f"{faster[name]:.2f} x",
            f"{(labels == truth).mean():.1%}",
            f"{(labels == best['PyTorch, float32']).mean():.1%}",
        )
        for name, labels in best.items()
    ]
