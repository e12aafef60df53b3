"""Soft labels against the members' scores by hand; the student and the baseline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from pet.ensembling import softmax
from pet.errors import PetError
from pet.inputs import read_inputs
from pet.loading import choose_device
from pet.logits import read_logits
from pet.members import members_of
from pet.models import Classifier
from pet.pipeline import label_pool
from pet.reporting.report_file import Report
from pet.reporting.verdict import judge
from pet.runs import DONE, read_json
from pet.students import write_soft_labels
from tests import reports, samples

Configure = Callable[..., Any]


def stacked(run: Path, file: str) -> np.ndarray:
    return np.stack(
        [
            read_logits(run / "members" / f"g0-{name}-r0" / "logits" / file)[1]
            for name in samples.PATTERNS
        ]
    )


def test_soft_labels_are_the_weighted_members_at_temperature_two(tiny_run: Path) -> None:
    record = read_json(tiny_run / "soft_labels" / DONE)
    weights = record["weights"]
    assert list(weights) == [f"g0-{name}-r0" for name in samples.PATTERNS]
    files = sorted((tiny_run / "soft_labels").glob("part-*.parquet"))
    assert len(files) == 3
    for path in files:
        ids, soft = read_logits(path)
        logits = stacked(tiny_run, path.name)
        share = np.array(list(weights.values())) / sum(weights.values())
        mean = (share[:, None, None] * logits).sum(0) / record["ensemble_temperature"]
        mean = (mean + record["ensemble_offsets"]) / 2
        by_hand = np.exp(mean) / np.exp(mean).sum(1, keepdims=True)
        np.testing.assert_allclose(soft, by_hand, atol=1e-5)
        assert ids == read_logits(tiny_run / "members" / "g0-last-r0" / "logits" / path.name)[0]


def test_weights_are_the_accuracy_before_training(tiny_run: Path) -> None:
    weights = read_json(tiny_run / "soft_labels" / DONE)["weights"]
    truth = np.repeat(np.arange(3), 4)
    for name in samples.PATTERNS:
        path = tiny_run / "members" / f"untrained-{name}" / "logits" / "labeled.parquet"
        right = (read_logits(path)[1].argmax(1) == truth).mean()
        assert weights[f"g0-{name}-r0"] == pytest.approx(right, abs=1e-4)


def test_uniform_weights_are_all_one(config_for: Configure, run_copy: Path) -> None:
    label_pool(config_for(out=run_copy, weights="uniform"))
    assert set(read_json(run_copy / "soft_labels" / DONE)["weights"].values()) == {1.0}


@pytest.mark.parametrize("which", samples.PATTERNS)
def test_soft_labels_without_a_members_scores_are_an_error(
    config_for: Configure, run_copy: Path, which: str
) -> None:
    """The ensemble must never silently shrink."""
    inputs = read_inputs(config_for(out=run_copy))
    (run_copy / "members" / f"g0-{which}-r0" / "logits" / "part-00001.parquet").unlink()
    (run_copy / "soft_labels" / DONE).unlink()
    with pytest.raises(PetError, match=f"g0-{which}-r0"):
        write_soft_labels(inputs, members_of(inputs))


def test_soft_labels_are_of_the_unlabeled_rows_after_the_shards_have_changed(
    config_for: Configure, run_copy: Path
) -> None:
    """Shards of an earlier, finer cut lie beside the new ones; they must not be read."""
    label_pool(config_for(out=run_copy, shard_rows=30))
    ids = [i for p in sorted((run_copy / "soft_labels").glob("part-*")) for i in read_logits(p)[0]]
    assert len(ids) == len(set(ids)) == 37


def test_the_student_knows_the_labels_and_its_losses(tiny_run: Path) -> None:
    model = Classifier.load(str(tiny_run / "student"), choose_device("cpu"))
    assert model.module.config.id2label == dict(enumerate(samples.LABELS))
    record = read_json(tiny_run / "student" / DONE)
    assert len(record["losses"]) == 3


def test_the_baseline_can_be_loaded_as_the_report_says(tiny_run: Path) -> None:
    """Where the report tells to prefer it, no command and no class could do anything with it."""
    test = {**reports.measured(2, supervised=0.95)}
    report = Report.model_validate(reports.figures(test=test))
    [found] = [own for own in judge(report, str(tiny_run)).findings if "baseline" in own.title]
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
