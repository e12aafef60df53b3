"""Words at the mask by the untrained model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pet.models.scoring import cloze_encoder, score_columns
from pet.models.word_search import search_words
from pet.tasks.task import Task, parse_task
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.cloze import config_of, load_cloze
from tests.support.samples import task_toml

TEXTS = {"text": [text for text, _ in samples.labeled_rows()]}
NOTHING: dict[str, list[str]] = {"text": []}


def some_task(patterns: list[str]) -> Task:
    return parse_task(task_toml(patterns), "t")


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "gpt2", "t5"])
def test_a_label_asked_for_by_suggested_words_gets_the_scores_of_a_task_that_has_them(
    model_folder: ModelFolder, kind: str
) -> None:
    """Up to a constant of the row: words here are scored by log p, there by raw logits."""
    folder = str(model_folder(kind))
    model, config = load_cloze(Path(folder)), config_of(folder, max_length=32)
    task = some_task(["last"] if model.reading == "causal" else list(samples.PATTERNS))
    found = search_words(config, task, model, TEXTS, NOTHING)
    labels = np.arange(12) // 4
    chosen = found.choose(np.arange(12), labels)
    named = dict(zip(task.labels, found.named(chosen), strict=True))
    assert all(len(set(words)) == len(words) for words in named.values())
    by_words = {label: (*task.words["last"][label], *words) for label, words in named.items()}
    own = replace(task, words=dict.fromkeys(task.words, by_words))
    for place, pattern in enumerate(task.patterns):
        encoder = cloze_encoder(config, own, model, pattern.name)
        plain = score_columns(model, encoder, TEXTS, config.tokens_per_batch)
        difference = plain - found.scores(found.rows, chosen)[place]
        np.testing.assert_allclose(difference - difference[:, :1], 0, atol=1e-3)


def test_words_that_labels_have_are_not_suggested_again(model_folder: ModelFolder) -> None:
    folder = str(model_folder("bert"))
    config, model = config_of(folder, max_length=32), load_cloze(Path(folder))
    found = search_words(config, some_task(["last"]), model, TEXTS, NOTHING)
    assert "rocket" in found.words
    assert not {"moon", "space", "sport", "business"} & set(found.words)
