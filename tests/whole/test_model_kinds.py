"""Every kind of model from end to end: checked, run with every tuning, exported, read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from pet.checking.check import check_inputs
from pet.config import RunConfig
from pet.errors import InputError
from pet.finished.exports import export_run
from pet.finished.finished_run import FinishedRun, open_run
from pet.finished.predictors import predictor_of, student_of
from pet.pipeline import label_pool
from pet.progress import no_tick
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.marks import thorough
from tests.support.tiny_models import MASKS

TUNINGS = ("full", "lora", "prefix", "soft-prompt")
ORDINARY = ("bert",)
OTHERS = (
    *("albert", "distilbert", "modernbert", "electra", "deberta", "roberta", "mpnet"),
    *("xlm_roberta", "gpt2", "llama", "qwen", "granite", "bloom", "opt", "bart"),
    *("t5", "flan"),
)
KINDS = [*ORDINARY, *thorough(*OTHERS)]
REFUSED = {  # an attention that transformers lets nobody replace; an encoder and a decoder
    "prefix": ("deberta", "mpnet", "bloom", "bart", "t5", "flan"),
    "soft-prompt": ("bart",),
}
HEADLESS = ("granite", "t5", "flan")
TEXTS = ["the team won the game", "a rocket to the moon", "the bank said the price was bad today"]


@pytest.fixture
def settings(inputs_folder: Path, model_folder: ModelFolder, tmp_path: Path) -> Any:
    """Make the settings of a run of one pattern, which suits causal models too."""
    task = tmp_path / "task.toml"
    task.write_text(samples.task_toml(["last"]), encoding="utf-8")

    def make(kind: str, tuning: str) -> dict[str, Any]:
        model = str(model_folder(kind))
        own = {} if tuning == "full" else samples.adapted(tuning)
        student = {"student_model": str(model_folder("bert"))} if kind in HEADLESS else {}
        mask = {"mask": MASKS[kind]} if kind in MASKS else {}
        return {"model": model, **mask, "task": str(task), "test": None, **student, **own}

    return make


def passes(config: RunConfig) -> Any:
    """Check what a run would start from, as `pet check` does."""
    return check_inputs(config.model_dump(exclude={"out"}, exclude_unset=True))


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_check_passes_runs_and_is_read_back(
    config_for: Any, settings: Any, tmp_path: Path, kind: str, tuning: str
) -> None:
    """Layers that share a module lost their prefixes; some models have no head for a student."""
    config = config_for(**settings(kind, tuning))
    if kind in REFUSED.get(tuning, ()):
        with pytest.raises(InputError, match=r"setting member\.tuning"):
            passes(config)
        return
    assert passes(config)["patterns"]
    label_pool(config)
    run = open_run(Path(config.out))
    predicted = predictor_of(run, "ensemble")({"text": TEXTS}, no_tick)
    assert predicted.probabilities.shape == (len(TEXTS), len(samples.LABELS))
    if tuning == "full":
        exported_alike(run, tmp_path)


def exported_alike(run: FinishedRun, folder: Path) -> None:
    """Plain transformers and ONNX predict what the student does."""
    expected = student_of(run).probabilities({"text": TEXTS})
    export_run(run.folder, "hf", folder / "hf")
    model = AutoModelForSequenceClassification.from_pretrained(folder / "hf")
    tokenizer = AutoTokenizer.from_pretrained(folder / "hf")
    plain = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)
    for found, row in zip(plain(TEXTS), expected, strict=True):
        scores = {own["label"]: own["score"] for own in found}
        np.testing.assert_allclose([scores[label] for label in samples.LABELS], row, atol=1e-4)
    measured = export_run(run.folder, "onnx", folder / "onnx")
    assert measured["model.onnx"]["largest_difference"] < 1e-3
