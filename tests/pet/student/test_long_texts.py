"""Long texts read at both ends or in windows: by all models, and wherever the student is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pet.estimator import PetClassifier
from pet.finished.finished_run import open_run
from pet.finished.predictors import student_of
from pet.inputs.reading import open_session
from pet.pipeline import label_pool
from pet.storage.files import read_record
from pet.storage.units import DONE
from pet.student.student_folder import open_student

LONG = "the game " * 40


@pytest.mark.parametrize(
    ("way", "said"),
    [("head-tail", "first and the last"), ("windows", "up to 8 overlapping windows")],
)
def test_a_student_reads_long_texts_as_it_learned_to_wherever_it_is_loaded(
    way: str, said: str, finished_run: Callable[..., Path]
) -> None:
    run_of = finished_run(f"long-{way}", long_texts=way)
    texts = {"text": [f"{LONG} a rocket to the moon", f"{LONG} the bank and the market"]}
    loaded = student_of(open_run(run_of)).logits(texts)
    assert np.abs(loaded[0] - loaded[1]).max() > 1e-6  # what differs stands at the end alone
    classifier = PetClassifier.load(run_of / "student")
    own = classifier.predict_proba(texts["text"])
    assert np.abs(own[0] - own[1]).max() > 1e-6
    np.testing.assert_allclose(open_student(run_of / "student").logits(texts), loaded, atol=1e-5)
    assert said in (run_of / "student" / "README.md").read_text(encoding="utf-8")


def test_a_run_that_reads_the_beginning_is_named_and_recorded_as_before(tiny_run: Path) -> None:
    record = read_record(tiny_run / "student" / "pet.json")
    assert "long_texts" not in record
    texts = [f"{LONG} a rocket to the moon", f"{LONG} the bank and the market"]
    found = student_of(open_run(tiny_run)).logits({"text": texts})
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_another_way_to_read_makes_every_model_anew(
    config_for: Callable[..., object], tmp_path: Path
) -> None:
    made = []
    for way in ("head-tail", "windows"):
        config = config_for(long_texts=way)
        label_pool(config, update=True)
        names = ("members/g0-last-r0", "student", "supervised", "soft_labels")
        folder = open_session(config).folder
        made.append({read_record(folder / name / DONE)["fingerprint"] for name in names})
    assert len(set.union(*made)) == sum(map(len, made))
