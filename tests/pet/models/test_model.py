"""What every model can do, and classifiers: their heads, their precision, their saved folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pet.config import ModelRef
from pet.errors import InputError
from pet.models.cloze_model import ClozeModel
from pet.models.model import Classifier, Model, Precision, head_weights
from pet.models.teachers import load_teacher
from tests.conftest import ModelFolder
from tests.support.cloze import (
    CPU,
    TEXTS,
    WORDS,
    encoder_for,
    fresh_classifier,
    load_cloze,
    plain_batchable,
    tokenized,
)

ROWS = np.arange(len(TEXTS))
ROOT = Path(__file__).parents[3]


def test_the_seed_draws_the_classification_head(model_folder: ModelFolder) -> None:
    weights = [
        fresh_classifier(model_folder("bert"), seed=seed).module.classifier.weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama"])
@pytest.mark.parametrize("before", [("a", "b"), ("x", "y", "z")], ids=["other count", "same count"])
def test_a_head_that_was_trained_for_another_task_is_not_taken_over(
    model_folder: ModelFolder, tmp_path: Path, kind: str, before: tuple[str, ...]
) -> None:
    """Its labels would keep their old meaning; with LoRA they would even be frozen in it."""
    other = fresh_classifier(model_folder(kind), before, seed=5)
    with torch.no_grad():
        for parameter in other.module.parameters():
            parameter.add_(0.5)
    other.save(tmp_path / "classifier")
    one, same, another = (fresh_classifier(tmp_path / "classifier", seed=s) for s in (1, 1, 2))
    head = head_weights(other.module)
    assert len(head) >= 1
    assert one.drawn == head
    assert one.module.config.id2label == {0: "a", 1: "b", 2: "c"}
    for name, weight in one.module.named_parameters():
        old = other.module.get_parameter(name)
        assert torch.equal(weight, same.module.get_parameter(name))
        assert torch.equal(weight, old) == (name not in head)
        if name in head and weight.ndim > 1:
            assert not torch.equal(weight, another.module.get_parameter(name))


def test_weights_of_the_backbone_that_do_not_fit_are_not_drawn_anew(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    """Transformers that may draw a head anew would draw embeddings as well, without a word."""
    model = Path(shutil.copytree(model_folder("bert"), tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(InputError, match=r"intermediate\.dense\.\w+ of the shape \[48"):
        fresh_classifier(model)


PLAIN = """
import sys
from transformers import AutoModelForSequenceClassification, pipeline
folder, *texts = sys.argv[1:]
AutoModelForSequenceClassification.from_pretrained(folder)
ask = pipeline("text-classification", model=folder, device="cpu", top_k=None)
found = [{entry["label"]: entry["score"] for entry in said} for said in ask(texts)]
assert not any(name.partition(".")[0] == "pet" for name in sys.modules)
import json
print("FOUND" + json.dumps(found))
"""


@pytest.mark.parametrize("kind", ["roberta"])
def test_a_saved_classifier_works_in_plain_transformers(
    model_folder: ModelFolder, tmp_path: Path, kind: str
) -> None:
    labels = ("sport", "Überraum", "a b/c")
    model = fresh_classifier(model_folder(kind), labels)
    texts = [*TEXTS, "the <mask> is </s> news"]  # in a text, these are but words
    encoder, columns = plain_batchable(model, texts)
    with torch.no_grad():
        ours = model.outputs(encoder, columns, np.arange(len(texts))).softmax(-1).numpy()
    model.save(tmp_path / "student")
    assert not list((tmp_path / "student").glob("*.bin"))
    process = subprocess.run(
        [sys.executable, "-c", PLAIN, str(tmp_path / "student"), *texts],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout.partition("FOUND")[2])
    for said, row in zip(found, ours, strict=True):
        np.testing.assert_allclose([said[label] for label in labels], row, atol=1e-5)


def test_saved_weights_come_back_as_they_were(model_folder: ModelFolder, tmp_path: Path) -> None:
    model = fresh_classifier(model_folder("bert"))
    model.save(tmp_path / "c")
    again = Classifier.load(str(tmp_path / "c"), CPU)
    encoder, texts = plain_batchable(model, TEXTS)
    again.module.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            again.outputs(encoder, texts, ROWS), model.outputs(encoder, texts, ROWS)
        )
    assert again.module.config.id2label == {0: "a", 1: "b", 2: "c"}
    saved = load_file(tmp_path / "c" / "model.safetensors")
    assert torch.equal(saved["classifier.weight"], model.module.classifier.weight)


@pytest.mark.parametrize("kind", ["bert", "bart", "opt", "gpt2", "deberta"])
def test_dropout_can_be_set_for_the_whole_model(model_folder: ModelFolder, kind: str) -> None:
    """Some models keep it as a number, under one name or another."""
    model = load_cloze(model_folder(kind))
    own = {m.p for m in model.module.modules() if isinstance(m, torch.nn.Dropout)}
    model.set_dropout(None)
    assert {m.p for m in model.module.modules() if isinstance(m, torch.nn.Dropout)} == own
    model.set_dropout(0.0)
    model.module.train()
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}", reading=model.reading)
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    with torch.no_grad():
        assert torch.equal(model.outputs(encoder, texts, ROWS), model.outputs(encoder, texts, ROWS))


@pytest.mark.parametrize(
    ("precision", "device", "lower"),
    [
        ("auto", "cpu", False),
        ("auto", "cuda", True),
        ("bfloat16", "cpu", True),
        ("bfloat16", "cuda", True),
        ("int8", "cpu", False),
        ("int8", "cuda", True),
        ("float32", "cpu", False),
        ("float32", "cuda", False),
    ],
)
def test_the_precision_asked_for_is_the_one_computed_in(
    monkeypatch: pytest.MonkeyPatch, precision: Precision, device: str, lower: bool
) -> None:
    asked: list[tuple[str, torch.dtype, bool]] = []

    def note(kind: str, dtype: torch.dtype, enabled: bool) -> None:
        asked.append((kind, dtype, enabled))

    model = Classifier(torch.nn.Linear(2, 2), None, CPU, precision=precision)
    model.device = torch.device(device)
    monkeypatch.setattr(torch, "autocast", note)
    model.autocast()
    assert asked == [(device, torch.bfloat16, lower)]


def test_precision_reaches_the_forward_pass_of_every_way_to_load(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    """A parameter dropped on the way would only ever show as a slow run, or an inexact one."""
    folder = str(model_folder("bert"))
    fresh_classifier(model_folder("bert")).save(tmp_path / "c")
    made: dict[Precision, list[Model]] = {
        precision: [
            load_teacher(ModelRef(folder), CPU, precision=precision),
            Classifier.fresh(ModelRef(folder), ("a", "b"), CPU, 0, precision=precision),
            Classifier.load(str(tmp_path / "c"), CPU, precision=precision),
        ]
        for precision in ("float32", "bfloat16")
    }
    for precision, models in made.items():
        for model in models:
            logits: list[torch.dtype] = []
            model.module.register_forward_hook(
                lambda _m, _i, output, seen=logits: seen.append(output.logits.dtype)
            )
            encoder, texts = plain_batchable(model, TEXTS)
            if isinstance(model, ClozeModel):
                encoder = encoder_for(model.tokenizer, "{text} {mask}", words=WORDS)
                texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
            scores = model.outputs(encoder, texts, ROWS)
            assert logits[-1] == getattr(torch, precision)  # before, short ways are tried
            assert scores.dtype == torch.float32
            assert {p.dtype for p in model.module.parameters()} == {torch.float32}
            assert model.output_width(encoder) == scores.shape[1]


def test_training_in_bfloat16_leaves_gradients_in_float32(model_folder: ModelFolder) -> None:
    model = Classifier.fresh(
        ModelRef(str(model_folder("bert"))), ("a", "b"), CPU, 0, precision="bfloat16"
    )
    encoder, texts = plain_batchable(model, TEXTS)
    model.outputs(encoder, texts, ROWS).square().sum().backward()
    gradients = [p.grad for p in model.module.parameters() if p.grad is not None]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    assert all(gradient.isfinite().all() for gradient in gradients)


IMPORT = """
import logging, os, random, sys, warnings
import numpy, pandas, pyarrow.compute, pyarrow.dataset, pyarrow.parquet, pydantic
before = dict(os.environ), logging.root.level, list(logging.root.handlers), list(warnings.filters)
folder = sorted(os.listdir("."))
import pet
import pet.settings, pet.storage.units, pet.tasks.task, pet.data.labeled, pet.method.metrics
assert "torch" not in sys.modules and "transformers" not in sys.modules, "a slow start"
assert list(warnings.filters) == before[3]
import torch, numpy, transformers
filters, verbosity = list(warnings.filters), transformers.utils.logging.get_verbosity()
env, state, seed = dict(os.environ), random.getstate(), torch.random.get_rng_state()
threads = torch.get_num_threads()
import pet.pipeline, pet.finished.inference, pet.checking.check
assert (dict(os.environ), logging.root.level, list(logging.root.handlers)) == (env, *before[1:3])
assert list(warnings.filters) == filters
assert transformers.utils.logging.get_verbosity() == verbosity
assert random.getstate() == state and torch.equal(torch.random.get_rng_state(), seed)
assert torch.get_num_threads() == threads
assert sorted(os.listdir(".")) == folder
assert "prefect" not in sys.modules and "flows" not in sys.modules
"""


def test_importing_the_library_changes_nothing(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", IMPORT],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == ""
