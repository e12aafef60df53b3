"""The student, those in folds before it, and the baseline."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pet.ensemble.logits import read_logits
from pet.method.ensembling import softmax
from pet.models.loading import choose_device
from pet.models.model import Classifier
from pet.reporting.report_file import Report
from pet.reporting.verdict import verdict_of
from pet.storage.files import read_json
from pet.storage.units import DONE
from pet.student.distillation import distillation_loss, rare_repeated
from tests.support import reports, samples

Configure = Callable[..., Any]


def test_the_student_knows_the_labels_and_its_losses(tiny_run: Path) -> None:
    model = Classifier.load(str(tiny_run / "student"), choose_device("cpu"))
    assert model.module.config.id2label == dict(enumerate(samples.LABELS))
    record = read_json(tiny_run / "student" / DONE)
    assert len(record["losses"]) == 3


def test_the_baseline_can_be_loaded_as_the_report_says(tiny_run: Path) -> None:
    """Where the report tells to prefer it, no command and no class could do anything with it."""
    test = {**reports.measured(2, supervised=0.95)}
    report = Report.model_validate(reports.figures(test=test))
    [found] = [own for own in verdict_of(report, str(tiny_run)).findings if "baseline" in own.title]
    said: dict[str, Any] = {}
    exec(found.command.replace("PetClassifier.load", "loaded = PetClassifier.load"), said)
    texts = [text for text, _ in samples.test_rows()]
    _, logits = read_logits(tiny_run / "evaluation" / "supervised-test.parquet")
    by_label = np.argsort(samples.LABELS)
    assert list(said["loaded"].classes_) == sorted(samples.LABELS)
    np.testing.assert_allclose(
        said["loaded"].predict_proba(texts), softmax(logits)[:, by_label], atol=1e-4
    )
    read = json.loads((tiny_run / "supervised" / "tokenizer_config.json").read_text())
    assert read["model_max_length"] == 32


def test_the_baseline_and_the_student_are_different_models(tiny_run: Path) -> None:
    heads = [
        load_file(tiny_run / name / "model.safetensors")["classifier.weight"]
        for name in ("student", "supervised")
    ]
    assert not np.array_equal(*heads)


def test_the_loss_is_kl_of_the_tempered_student_times_temperature_squared() -> None:
    # Student logits [2, 0] at T = 2 are [1, 0]: p = e / (e + 1). Teacher q = [0.25, 0.75].
    p = math.e / (math.e + 1)
    kl = 0.25 * math.log(0.25 / p) + 0.75 * math.log(0.75 / (1 - p))
    loss = distillation_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.25, 0.75]]), 2.0)
    assert float(loss) == pytest.approx(kl * 4)


def test_the_loss_is_summed_over_rows() -> None:
    scores, soft = torch.tensor([[2.0, 0.0]] * 3), torch.tensor([[0.25, 0.75]] * 3)
    one = distillation_loss(scores[:1], soft[:1], 2.0)
    assert float(distillation_loss(scores, soft, 2.0)) == pytest.approx(3 * float(one))


def test_a_student_that_says_what_the_teacher_says_has_no_loss() -> None:
    scores = torch.tensor([[1.0, -2.0, 0.5]])
    soft = torch.softmax(scores / 3, dim=-1)
    assert float(distillation_loss(scores, soft, 3.0)) == pytest.approx(0, abs=1e-6)


def test_a_hard_soft_label_of_zero_is_no_nan() -> None:
    loss = distillation_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]), 1.0)
    assert float(loss) == pytest.approx(math.log(2))


def test_targets_of_another_shape_are_refused() -> None:
    """A narrower target broadcasts and trains the student toward nothing at a plausible loss."""
    with pytest.raises(AssertionError, match="broadcast"):
        distillation_loss(torch.zeros(2, 3), torch.ones(2, 1), 2.0)


@pytest.mark.parametrize(
    ("weight", "times"), [("none", [1, 1, 1]), ("sqrt", [1, 2, 5]), ("balanced", [1, 4, 8])]
)
def test_a_rare_label_is_not_lost_among_the_rows_of_others(weight: Any, times: list[int]) -> None:
    labels = np.repeat([0, 1, 2], [100, 25, 4])
    rows = np.arange(len(labels)) + 7
    repeated = rare_repeated(rows, labels, weight)
    assert set(repeated) == set(rows)
    assert [int((labels[repeated - 7] == own).sum()) for own in range(3)] == [
        100 * times[0],
        25 * times[1],
        4 * times[2],
    ]


def test_even_labels_are_learned_as_they_come() -> None:
    labels = np.repeat([0, 1, 2], [100, 60, 90])
    np.testing.assert_array_equal(rare_repeated(np.arange(250), labels, "sqrt"), np.arange(250))
    assert len(rare_repeated(np.arange(0), labels[:0], "sqrt")) == 0
