"""Models: label scores against full logits by hand, and plain classifiers out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pet.models import Classifier, ClozeModel
from tests.cloze import (
    CPU,
    TEXTS,
    WORDS,
    ask,
    encoder_for,
    fresh_classifier,
    load_cloze,
    plain_batchable,
    tokenized,
)  # fmt: skip
from tests.conftest import ModelFolder

MASKED, CAUSAL = ("bert", "roberta", "xlm_roberta"), ("llama", "gpt2", "opt")
ROWS = np.arange(len(TEXTS))
ROOT = Path(__file__).parents[1]


def template_for(kind: str) -> str:
    return "{text} the topic is {mask}" if kind in CAUSAL else "category: {mask}. {text}"


def full_logits(model: ClozeModel, ids: Sequence[int]) -> Tensor:
    """What plain transformers says of one unpadded row. [tokens, vocabulary]"""
    with torch.no_grad():
        return model.module(input_ids=torch.tensor([list(ids)])).logits[0]


@pytest.mark.parametrize(
    "kind",
    # BART has a bias behind its head that is as wide as the vocabulary; what DeBERTa gives as its
    # output layer is not the last one.
    [*MASKED, *CAUSAL, "bart", "deberta"],
)  # fmt: skip
def test_label_scores_are_the_full_logits_at_the_mask(model_folder: ModelFolder, kind: str) -> None:
    """Row by row and unpadded; `c` has two words, whose logits are averaged."""
    model = load_cloze(model_folder(kind))
    assert model.causal == (kind in CAUSAL)
    scores, encoder, columns = ask(model, template_for(kind))
    assert encoder.words.mask_counts == (1,)
    assert scores.shape == (len(TEXTS), 3)
    assert scores.dtype == torch.float32
    for row in ROWS:
        batch = encoder.batch(columns, ROWS[row : row + 1])
        at = full_logits(model, batch.ids[0])[batch.masks[0, 0]]
        by_hand = [float(at[[word[0] for word in of]].mean()) for of in encoder.words.tokens]
        np.testing.assert_allclose(scores[row], by_hand, atol=1e-5)


def test_the_mean_is_of_raw_logits_over_a_labels_words(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    apart, _, _ = ask(
        model, template_for("bert"), {"x": ("business",), "y": ("money",), "z": ("sport",)}
    )
    together, _, _ = ask(model, template_for("bert"), {"c": ("business", "money"), "z": ("sport",)})
    np.testing.assert_allclose(together[:, 0], apart[:, :2].mean(1), atol=1e-6)


@pytest.mark.parametrize(("kind", "word"), [("bert", "rocketman"), ("roberta", "sportspace")])
def test_a_masked_word_of_several_tokens_is_the_product_of_parallel_predictions(
    model_folder: ModelFolder, kind: str, word: str
) -> None:
    model = load_cloze(model_folder(kind))
    template = template_for(kind)
    scores, encoder, columns = ask(model, template, {"a": (word, "game"), "b": ("money",)})
    (long, short), (money,) = encoder.words.tokens
    assert len(long) > 1
    assert len(short) == len(money) == 1
    for row in ROWS:
        logs = {}
        for count in (1, len(long)):
            batch = encoder.batch(columns, ROWS[row : row + 1], count)
            logs[count] = full_logits(model, batch.ids[0]).log_softmax(-1)[batch.masks[0]]
        of_long = sum(logs[len(long)][place, token] for place, token in enumerate(long))
        of_short, of_money = (logs[1][0, word[0]] for word in (short, money))
        by_hand = [float((of_long + of_short) / 2), float(of_money)]
        np.testing.assert_allclose(scores[row], by_hand, rtol=1e-4)


@pytest.mark.parametrize("kind", CAUSAL)
def test_a_causal_word_of_several_tokens_follows_the_chain_rule(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    words = {"a": ("sportspace",), "b": ("money", "big money")}
    scores, encoder, columns = ask(model, template_for(kind), words)
    assert max(encoder.words.mask_counts) > 2
    for row in ROWS:
        ids = encoder.batch(columns, ROWS[row : row + 1]).ids[0].tolist()
        by_hand = []
        for of_label in encoder.words.tokens:
            logs = []
            for word in of_label:
                steps = full_logits(model, [*ids, *word]).log_softmax(-1)
                logs.append(sum(steps[len(ids) - 1 + k, token] for k, token in enumerate(word)))
            by_hand.append(float(sum(logs) / len(logs)))
        np.testing.assert_allclose(scores[row], by_hand, rtol=1e-4)


@pytest.mark.parametrize("template", ["{text} it is {mask} ", "{text} it is {mask}\n"])
def test_whitespace_behind_a_causal_mask_changes_nothing(
    model_folder: ModelFolder, template: str
) -> None:
    model = load_cloze(model_folder("llama"))
    words = {"a": ("sportspace",), "b": ("money",)}
    expected, _, _ = ask(model, "{text} it is {mask}", words)
    found, _, _ = ask(model, template, words)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [*MASKED, *CAUSAL])
def test_scores_do_not_depend_on_the_rows_beside(model_folder: ModelFolder, kind: str) -> None:
    model = load_cloze(model_folder(kind))
    words = {"a": ("rocketman",), "b": ("money", "sport")}
    together, encoder, columns = ask(model, template_for(kind), words)
    with torch.no_grad():
        alone = torch.cat([model.label_scores(encoder, columns, ROWS[r : r + 1]) for r in ROWS])
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4)


def state(model: ClozeModel) -> tuple[Any, ...]:
    """What scoring could leave behind in the module."""
    layer = model.module.get_output_embeddings()
    hooks = [len(module._forward_hooks) for module in model.module.modules()]
    return "forward" in vars(layer), hooks, model.module.training


@pytest.mark.parametrize("kind", ["bert", "gpt2", "opt"])
def test_scoring_leaves_the_module_as_it_was(model_folder: ModelFolder, kind: str) -> None:
    model = load_cloze(model_folder(kind))
    before, ids = state(model), [5, 6, 7]
    logits = full_logits(model, ids)
    ask(model, template_for(kind))
    assert state(model) == before
    assert torch.equal(full_logits(model, ids), logits)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_failed_forward_leaves_the_module_as_it_was(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Out of memory in the middle: the same module scores the next, smaller batch."""
    model = load_cloze(model_folder(kind))
    before = state(model)
    expected, encoder, columns = ask(model, template_for(kind))

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(model._backbone, "forward", fail)
        with pytest.raises(torch.OutOfMemoryError, match="no room"):
            model.label_scores(encoder, columns, ROWS)
    assert state(model) == before
    with torch.no_grad():
        assert torch.equal(model.label_scores(encoder, columns, ROWS), expected)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_gradients_reach_every_weight_that_the_full_logits_reach(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    encoder = encoder_for(model.tokenizer, template_for(kind), causal=model.causal)
    columns = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    model.label_scores(encoder, columns, ROWS).square().sum().backward()
    ours = {
        name: p.grad.clone() for name, p in model.module.named_parameters() if p.grad is not None
    }
    model.module.zero_grad()
    batch = encoder.batch(columns, ROWS)
    full = model.module(
        input_ids=torch.from_numpy(batch.ids), attention_mask=torch.from_numpy(batch.attention)
    ).logits
    at = full[torch.arange(len(ROWS)), torch.from_numpy(batch.masks[:, 0])]
    scores = [at[:, [word[0] for word in of]].mean(1) for of in encoder.words.tokens]
    torch.stack(scores, 1).square().sum().backward()
    for name, parameter in model.module.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(ours[name], parameter.grad, atol=1e-4, rtol=1e-3)


def test_the_seed_draws_the_classification_head(model_folder: ModelFolder) -> None:
    weights = [
        fresh_classifier(model_folder("bert"), seed=seed).module.classifier.weight
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "llama"])
def test_a_calibration_temperature_divides_the_logits(model_folder: ModelFolder, kind: str) -> None:
    model = fresh_classifier(model_folder(kind))
    encoder, texts = plain_batchable(model, TEXTS)
    with torch.no_grad():
        before = model.label_scores(encoder, texts, ROWS)
        model.divide_logits(2.5)
        after = model.label_scores(encoder, texts, ROWS)
    assert before.shape == (len(TEXTS), 3)
    torch.testing.assert_close(after, before / 2.5)


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
    encoder, columns = plain_batchable(model, TEXTS)
    with torch.no_grad():
        ours = model.label_scores(encoder, columns, ROWS).softmax(-1).numpy()
    model.save(tmp_path / "student")
    assert not list((tmp_path / "student").glob("*.bin"))
    process = subprocess.run(
        [sys.executable, "-c", PLAIN, str(tmp_path / "student"), *TEXTS],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
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
            again.label_scores(encoder, texts, ROWS), model.label_scores(encoder, texts, ROWS)
        )
    assert again.module.config.id2label == {0: "a", 1: "b", 2: "c"}
    saved = load_file(tmp_path / "c" / "model.safetensors")
    assert torch.equal(saved["classifier.weight"], model.module.classifier.weight)


def test_dropout_can_be_set_for_the_whole_model(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    own = {m.p for m in model.module.modules() if isinstance(m, torch.nn.Dropout)}
    model.set_dropout(None)
    assert {m.p for m in model.module.modules() if isinstance(m, torch.nn.Dropout)} == own
    model.set_dropout(0.0)
    model.module.train()
    encoder = encoder_for(model.tokenizer, "{text} {mask}", words=WORDS)
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    with torch.no_grad():
        assert torch.equal(
            model.label_scores(encoder, texts, ROWS), model.label_scores(encoder, texts, ROWS)
        )


IMPORT = """
import logging, os, random, sys, warnings
import numpy, pandas, pyarrow.compute, pyarrow.dataset, pyarrow.parquet, pydantic
before = dict(os.environ), logging.root.level, list(logging.root.handlers), list(warnings.filters)
folder = sorted(os.listdir("."))
import pet
import pet.runs, pet.config, pet.tasks, pet.labeled, pet.ensembling, pet.evaluation
assert "torch" not in sys.modules and "transformers" not in sys.modules, "a slow start"
assert list(warnings.filters) == before[3]
import torch, numpy, transformers
filters, verbosity = list(warnings.filters), transformers.utils.logging.get_verbosity()
env, state, seed = dict(os.environ), random.getstate(), torch.random.get_rng_state()
threads = torch.get_num_threads()
import pet.pipeline, pet.finished, pet.check
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
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert process.stdout == ""
