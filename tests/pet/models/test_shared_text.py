"""Patterns that share their text: one pass gives what a pass for each of them gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pet.config import ModelRef
from pet.models.causal_model import CausalModel
from pet.models.scoring import cloze_encoders, score, score_together, tokenize_columns
from pet.models.shared_text import Branches, group_by_text
from pet.models.teachers import load_teacher
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task, load_task
from tests.support.cloze import CPU, config_of

TASK = """
name = "shared"
fields = ["text"]
[labels]
sport = [{words}]
space = "space"
business = "business"
[patterns]
topic = "{text} the topic is {mask}"
about = "{text} it was said this is about {mask}"
bare = "{text} {mask}"
news = "news: {text} about {mask}"
"""
TEXTS = ["the team won the game", "", "a rocket to the moon " * 20, "x", "stock price"]


@pytest.fixture
def task(tmp_path: Path) -> Callable[[str], Task]:
    def make(words: str = '"sport"', text: str = TASK) -> Task:
        path = tmp_path / "task.toml"
        path.write_text(text.replace("{words}", words))
        return load_task(str(path))

    return make


def encoded(
    model: CausalModel, task: Task, columns: dict[str, list[str]], length: int = 24
) -> tuple[list[Encoder], Any]:
    texts: Any = {}
    encoders = cloze_encoders(config_of(max_length=length), task, model)
    for encoder in encoders:
        tokenize_columns(encoder, model.tokenizer, columns, texts)
    return encoders, texts


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt"])
@pytest.mark.parametrize("words", ['"sport"', '"sport", "big game won"'], ids=["short", "longer"])
def test_scores_together_are_those_of_separate_passes(
    kind: str, words: str, task: Callable[..., Task], model_folder: Any
) -> None:
    """A mask that is off by one token shows a pattern a text that is not its own."""
    model = load_teacher(ModelRef(str(model_folder(kind))), CPU)
    encoders, texts = encoded(model, task(words), {"text": TEXTS})
    assert len({encoder.budget() for encoder in encoders}) > 1, "they cut a long text differently"
    assert [0, 1] in group_by_text(encoders)
    together = score_together(model, encoders, texts, tokens_per_batch=64)
    assert model._shares, "it fell back, and this test compares nothing"
    with torch.inference_mode():
        apart = [model._apart(own, texts, np.arange(len(TEXTS))).numpy() for own in encoders]
    np.testing.assert_allclose(together, np.stack(apart), atol=1e-5)


def test_several_fields_share_a_text_where_they_are_cut_alike(
    task: Callable[..., Task], model_folder: Any
) -> None:
    """A field that is cut by one pattern's budget is not the other's text."""
    pairs = TASK.replace('["text"]', '["title", "text"]').replace("{text}", "{title} and {text}")
    model = load_teacher(ModelRef(str(model_folder("llama"))), CPU)
    columns = {"title": TEXTS, "text": TEXTS[::-1]}
    encoders, texts = encoded(model, task(text=pairs), columns)
    assert [0] in group_by_text(encoders), "another budget, another text"
    together = score_together(model, encoders, texts, tokens_per_batch=64)
    apart = [score(model, own, texts, tokens_per_batch=64) for own in encoders]
    np.testing.assert_allclose(together, np.stack(apart), atol=1e-5)


def test_a_model_that_scores_otherwise_together_is_asked_apart(
    task: Callable[..., Task], model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models with windows or recurrent states would read the wrong text without a word."""
    model = load_teacher(ModelRef(str(model_folder("llama"))), CPU)
    encoders, texts = encoded(model, task(), {"text": TEXTS})
    expected = score_together(model, encoders, texts, tokens_per_batch=64)
    model._shares = None
    whole = model.outputs_together
    monkeypatch.setattr(model, "outputs_together", lambda *given: whole(*given) * 1.1)
    found = score_together(model, encoders, texts, tokens_per_batch=64)
    assert not model._shares
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_window_shorter_than_texts_is_not_shared(
    task: Callable[..., Task], model_folder: Any
) -> None:
    model = load_teacher(ModelRef(str(model_folder("llama"))), CPU)
    model.module.config.sliding_window = 8
    encoders, texts = encoded(model, task(), {"text": TEXTS})
    assert not model.shares_text(encoders[:2], texts, np.arange(2))


def test_a_model_that_takes_masks_of_one_shape_does_not_share(
    task: Callable[..., Task], model_folder: Any
) -> None:
    """BLOOM's check and run ended in a traceback."""
    model = load_teacher(ModelRef(str(model_folder("bloom"))), CPU)
    encoders, texts = encoded(model, task(), {"text": TEXTS})
    assert not model.shares_text(encoders[:2], texts, np.arange(2))


def test_a_branch_sees_its_own_pattern_and_no_other(
    task: Callable[..., Task], model_folder: Any
) -> None:
    model = load_teacher(ModelRef(str(model_folder("llama"))), CPU)
    encoders, _ = encoded(model, task('"big game won"'), {"text": TEXTS})
    branches = Branches.of(encoders[:2])
    same = branches.owners[:, None] == branches.owners[None, :]
    assert not (branches.visible & ~same).any()
    assert branches.visible.diagonal().all()


def test_rows_are_counted_once_for_all_patterns(
    task: Callable[..., Task], model_folder: Any
) -> None:
    model = load_teacher(ModelRef(str(model_folder("llama"))), CPU)
    encoders, texts = encoded(model, task(), {"text": TEXTS})
    counted: list[int] = []
    score_together(model, encoders, texts, tokens_per_batch=64, tick=counted.append)
    assert sum(counted) == len(TEXTS)
