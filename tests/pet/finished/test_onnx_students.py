"""ONNX against PyTorch, kind by kind: the older exporter was off by 0.1 without a warning."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pet.config import ModelRef
from pet.errors import InputError
from pet.finished.onnx_students import export_onnx, open_onnx, quantize
from pet.models.model import Classifier
from pet.student.student_folder import Record, Student
from tests.conftest import ModelFolder
from tests.support.tiny_models import WORDS

LENGTHS = (1, 2, 9, 40, 100)
TEXTS = [" ".join(WORDS[(i * k) % len(WORDS)] for i in range(n)) for n in LENGTHS for k in (1, 3)]


def student_of(folder: Path, fields: tuple[str, ...] = ("text",)) -> Student:
    labels = ("a", "b", "c")
    model = Classifier.fresh(ModelRef(str(folder)), labels, torch.device("cpu"), 0)
    with torch.no_grad():  # a fresh head hardly tells texts apart
        for name, parameter in model.module.named_parameters():
            if name.startswith(("classifier", "score")) and parameter.ndim > 1:
                parameter.mul_(20)
    return Student(
        model,
        Record(task="task", labels=labels, fields=fields, max_length=128),
        tokens_per_batch=256,
    )


@pytest.mark.parametrize("kind", ["bert", "roberta", "deberta", "llama"])
def test_onnx_predicts_what_pytorch_predicts_at_every_length(
    model_folder: ModelFolder, tmp_path: Path, kind: str
) -> None:
    """Alone, and padded among longer ones."""
    student = student_of(model_folder(kind))
    path = tmp_path / "model.onnx"
    export_onnx(student, path)
    onnx = open_onnx(path, student)
    expected = student.logits({"text": TEXTS})
    assert np.ptp(expected, axis=0).max() > 0.01  # or else agreement would show nothing
    np.testing.assert_allclose(onnx.logits({"text": TEXTS}), expected, atol=1e-4)
    for text, row in zip(TEXTS[::2], expected[::2], strict=True):
        np.testing.assert_allclose(onnx.logits({"text": [text]})[0], row, atol=1e-4)


def test_pairs_and_int8(model_folder: ModelFolder, tmp_path: Path) -> None:
    student = student_of(model_folder("bert"), ("text", "more"))
    columns = {"text": TEXTS, "more": TEXTS[::-1]}
    export_onnx(student, tmp_path / "model.onnx")
    expected = student.probabilities(columns)
    found = open_onnx(tmp_path / "model.onnx", student).probabilities(columns)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    quantize(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    smaller = open_onnx(tmp_path / "int8.onnx", student).probabilities(columns)
    assert 0 < np.abs(smaller - expected).max() < 0.1
    sizes = [(tmp_path / name).stat().st_size for name in ("int8.onnx", "model.onnx")]
    assert sizes[0] < sizes[1]


def test_an_export_leaves_logging_and_the_student_as_they_were(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    student = student_of(model_folder("bert"))
    before = student.logits({"text": TEXTS})
    export_onnx(student, tmp_path / "model.onnx")
    assert logging.root.manager.disable == logging.NOTSET
    assert (student.logits({"text": TEXTS}) == before).all()


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_what_to_install(
    model_folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"the package {package}\b[\s\S]*'pet\[onnx\]'"):
        export_onnx(student_of(model_folder("bert")), tmp_path / "model.onnx")
