"""Long texts in windows: a row's scores are the mean of what its windows get by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.config import ModelRef
from pet.models.cloze_model import ClozeModel
from pet.models.linear_probe import _inputs_of, _last_linear
from pet.models.model import Classifier
from pet.models.scoring import (
    cloze_encoder,
    cloze_encoders,
    score,
    score_together,
    tokenize_columns,
)
from pet.models.sentence_encoder import SentenceEncoder
from pet.models.teachers import load_teacher
from pet.tasks.compilation import plain_encoder
from pet.tasks.task import Task, load_task
from pet.tasks.windows import MOST
from tests.support.cloze import CPU, config_of

TASK = """
name = "windows"
fields = ["title", "text"]
[labels]
sport = ["sport", "big game won"]
space = "space"
[patterns]
topic = "{title} {text} the topic is {mask}"
news = "{title} {text} the title is {mask}"
"""
TEXTS = [
    "the team won the game " * 4 + "a rocket to the moon " * 6,
    "a short one",
    "",
    "stock price and market " * 60,
]
COLUMNS = {"title": ["news", "the", "", "a"], "text": TEXTS}
ROWS = np.arange(len(TEXTS))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    (tmp_path / "task.toml").write_text(TASK)
    return load_task(str(tmp_path / "task.toml"))


def asked(kind: str, task: Task, model_folder: Any, way: str = "windows") -> tuple[Any, Any, Any]:
    """Load a model; return it, an encoder of short windows, and the texts."""
    ref = ModelRef(str(model_folder({"classifier": "bert", "sentences": "bert"}.get(kind, kind))))
    if kind == "classifier":
        model: Any = Classifier.fresh(ref, task.labels, CPU, 0)
    elif kind == "sentences":
        model = SentenceEncoder.load(ref, CPU)
    else:
        model = load_teacher(ref, CPU)
    encoder: Any = (
        cloze_encoder(config_of(max_length=24, long_texts=way), task, model, "topic")
        if isinstance(model, ClozeModel)
        else plain_encoder(model.tokenizer, task.fields, 24, long_texts=way)  # type: ignore[arg-type]
    )
    return model, encoder, tokenize_columns(encoder, model.tokenizer, COLUMNS)


@pytest.mark.parametrize("kind", ["bert", "llama", "classifier", "sentences"])
def test_a_rows_scores_are_the_mean_of_its_windows(
    kind: str, task: Task, model_folder: Any
) -> None:
    """Windows that are dealt to another row, or counted twice, would label the wrong text."""
    model, encoder, texts = asked(kind, task, model_folder)
    found = score(model, encoder, texts, tokens_per_batch=128)
    for row in ROWS:
        windows, (count,) = encoder.windows(texts, ROWS[row : row + 1])
        alone = [
            score(model, encoder, windows, np.array([own]), tokens_per_batch=128)
            for own in range(count)
        ]
        np.testing.assert_allclose(found[row], np.mean(alone, axis=0)[0], atol=1e-5)
    _, counts = encoder.windows(texts, ROWS)
    assert counts.tolist()[1:] == [1, 1, MOST]
    assert encoder.lengths(texts, ROWS).max() <= MOST * encoder.max_length


@pytest.mark.parametrize("kind", ["bert", "llama", "classifier"])
def test_a_text_that_fits_is_read_as_without_windows(
    kind: str, task: Task, model_folder: Any
) -> None:
    by_way = [
        score(*asked(kind, task, model_folder, way), tokens_per_batch=128)
        for way in ("windows", "head")
    ]
    np.testing.assert_allclose(by_way[0][1:3], by_way[1][1:3], atol=1e-5)
    assert np.abs(by_way[0][0] - by_way[1][0]).max() > 1e-5


def test_a_causal_model_reads_a_window_once_for_patterns_of_one_length(
    task: Task, model_folder: Any
) -> None:
    model = load_teacher(ModelRef(str(model_folder("llama"))), CPU)
    encoders = cloze_encoders(config_of(max_length=24, long_texts="windows"), task, model)
    texts: Any = {}
    for encoder in encoders:
        tokenize_columns(encoder, model.tokenizer, COLUMNS, texts)
    together = score_together(model, encoders, texts, tokens_per_batch=256)
    assert model._shares, "it fell back, and this test compares nothing"
    model._shares = False
    apart = score_together(model, encoders, texts, tokens_per_batch=256)
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_a_new_head_is_fitted_on_what_it_will_be_asked_about(task: Task, model_folder: Any) -> None:
    """Features of windows in the place of rows' would be fitted to other rows' labels."""
    model, encoder, texts = asked("classifier", task, model_folder)
    layer = _last_linear(model)
    assert layer is not None
    found = _inputs_of(layer, model, encoder, texts, ROWS)
    assert found is not None
    for row in ROWS:
        windows, (count,) = encoder.windows(texts, ROWS[row : row + 1])
        alone = _inputs_of(layer, model, encoder, windows, np.arange(count))
        assert alone is not None
        np.testing.assert_allclose(found[row], alone.mean(axis=0), atol=1e-5)


def test_training_learns_from_every_window(task: Task, model_folder: Any) -> None:
    model, encoder, texts = asked("classifier", task, model_folder)
    model.outputs(encoder, texts, ROWS[:1])[0, 0].backward()
    words = model.module.get_input_embeddings().weight.grad.abs().sum(dim=1)
    late = model.tokenizer("rocket", add_special_tokens=False)["input_ids"]
    assert float(words[late].min()) > 0
