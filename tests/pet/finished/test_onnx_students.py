"""ONNX against PyTorch, kind by kind: the older exporter was off by 0.1 without a warning."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache
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
from tests.support.marks import thorough
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


@pytest.fixture(scope="module")
def exported(
    model_folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Student, Path]]:
    """Export a kind of student; each once."""

    @cache
    def export(kind: str) -> tuple[Student, Path]:
        student = student_of(model_folder(kind))
        before = student.logits({"text": TEXTS})
        path = tmp_path_factory.mktemp("onnx") / f"{kind}.onnx"
        export_onnx(student, path)
        assert (student.logits({"text": TEXTS}) == before).all(), "the student was changed"
        assert logging.root.manager.disable == logging.NOTSET, "logging was changed"
        return student, path

    return export


@pytest.mark.parametrize(
    "kind",
    [
        "bert",
        *thorough("llama", "roberta", "deberta"),
    ],
)
def test_onnx_predicts_what_pytorch_predicts_at_every_length(
    exported: Callable[[str], tuple[Student, Path]], kind: str
) -> None:
    """Alone, and padded among longer ones; the export leaves logging and student alone."""
    student, path = exported(kind)
    onnx = open_onnx(path, student)
    expected = student.logits({"text": TEXTS})
    assert np.ptp(expected, axis=0).max() > 0.01  # or else agreement would show nothing
    np.testing.assert_allclose(onnx.logits({"text": TEXTS}), expected, atol=1e-4)
    for text, row in zip(TEXTS[::2], expected[::2], strict=True):
        np.testing.assert_allclose(onnx.logits({"text": [text]})[0], row, atol=1e-4)


def test_a_kind_of_model_that_cannot_be_exported_is_one_screen(
    model_folder: ModelFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    student = student_of(model_folder("longformer"))
    capfd.readouterr()
    with pytest.raises(InputError, match="use --format hf") as caught:
        export_onnx(student, tmp_path / "model.onnx")
    [problem] = caught.value.problems
    assert "LongformerForSequenceClassification" in problem.found
    assert capfd.readouterr() == ("", "")


def test_pairs_and_int8(
    exported: Callable[[str], tuple[Student, Path]], model_folder: ModelFolder, tmp_path: Path
) -> None:
    """A pair goes through the file of a student of single texts: the inputs are the same."""
    path = exported("bert")[1]
    student = student_of(model_folder("bert"), ("text", "more"))
    columns = {"text": TEXTS, "more": TEXTS[::-1]}
    expected = student.probabilities(columns)
    found = open_onnx(path, student).probabilities(columns)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    quantize(path, tmp_path / "int8.onnx")
    smaller = open_onnx(tmp_path / "int8.onnx", student).probabilities(columns)
    assert 0 < np.abs(smaller - expected).max() < 0.1
    assert (tmp_path / "int8.onnx").stat().st_size < path.stat().st_size


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_what_to_install(
    model_folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"the package {package}\b[\s\S]*'pet\[onnx\]'"):
        export_onnx(student_of(model_folder("bert")), tmp_path / "model.onnx")
