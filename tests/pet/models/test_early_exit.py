"""Rows that leave a classifier early, against every layer computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pet.errors import InputError
from pet.method.linear_head import LinearHead
from pet.models.early_exit import EarlyExitClassifier, LayerStates, layers_of
from pet.models.scoring import score
from tests.support.cloze import TEXTS, fresh_classifier, plain_batchable

ModelFolder = Callable[[str], Path]
LIKE_BERT = ("bert", "roberta", "electra", "xlm_roberta")
LABELS = 3


def heads_of(model: Any, seed: int = 3) -> list[LinearHead]:
    """Heads that are neither always nor never sure."""
    drawn, width = np.random.default_rng(seed), int(model.module.config.hidden_size)
    return [
        LinearHead(
            drawn.normal(0, 0.5, (width, LABELS)).astype(np.float32),
            np.zeros(LABELS, np.float32),
        )
        for _ in layers_of(model.module)[1:]
    ]


def sure_of(model: Any, scores: Any) -> float:
    """How likely one label is, or the answers to all of them."""
    own = torch.tensor(scores)
    if model.module.config.problem_type != "multi_label_classification":
        return float(own.softmax(0).max())
    chances = own.sigmoid()
    return float(torch.maximum(chances, 1 - chances).prod())


def by_hand(model: Any, heads: list[LinearHead], threshold: float) -> Any:
    """Every text by itself, all layers computed. [rows, labels + 1]"""
    found = []
    for text in TEXTS:
        inputs = model.tokenizer(text, return_tensors="pt", max_length=32, truncation=True)
        with torch.no_grad():
            output = model.module(**inputs, output_hidden_states=True)
        answers = [
            head.logits(own[0, :1].numpy())[0]
            for head, own in zip(heads, output.hidden_states[1:], strict=False)
        ]
        answers.append(output.logits[0].numpy())
        sure = [sure_of(model, own) >= threshold for own in answers[:-1]]
        at = [*sure, True].index(True)
        found.append([*answers[at], at + 1])
    return np.array(found)


@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
@pytest.mark.parametrize("kind", LIKE_BERT)
def test_rows_leave_with_the_scores_of_their_layer(
    model_folder: ModelFolder, kind: str, problem: str | None
) -> None:
    """A mask or a column of another row, once some have left, gives scores that look sound."""

    def fresh() -> Any:
        model = fresh_classifier(model_folder(kind))
        model.module.config.problem_type = problem
        return model

    model = fresh()
    encoder, texts = plain_batchable(model, TEXTS)
    heads = heads_of(model)
    surest = by_hand(model, heads, 0.0)
    middle = float(np.mean(sorted(sure_of(model, own) for own in surest[:, :-1])[1:3]))
    expected = by_hand(model, heads, middle)
    assert sorted(set(expected[:, -1])) == [1, 2], "some rows leave, and some stay"
    for threshold, wanted in ((middle, expected), (0.0, surest), (2.0, by_hand(model, heads, 2.0))):
        own = EarlyExitClassifier(fresh(), heads, threshold)
        found = score(own, encoder, texts, tokens_per_batch=512)
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_where_no_row_leaves_scores_are_the_students(model_folder: ModelFolder) -> None:
    model = fresh_classifier(model_folder("bert"))
    encoder, texts = plain_batchable(model, TEXTS)
    plain = score(model, encoder, texts, tokens_per_batch=512)
    own = EarlyExitClassifier(model, heads_of(model), 2.0)
    assert np.array_equal(score(own, encoder, texts, tokens_per_batch=512)[:, :-1], plain)


def test_threads_do_not_take_each_others_rows(model_folder: ModelFolder) -> None:
    model = fresh_classifier(model_folder("bert"))
    encoder, texts = plain_batchable(model, TEXTS * 8)
    own = EarlyExitClassifier(model, heads_of(model), 0.5)

    def ask(rows: Any) -> Any:
        return score(own, encoder, texts, rows, tokens_per_batch=64)

    parts = [np.arange(start, len(TEXTS) * 8, 4) for start in range(4)]
    expected = [ask(rows) for rows in parts]
    with ThreadPoolExecutor(4) as threads:
        for found, wanted in zip(threads.map(ask, parts), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_states_are_those_below_the_last_layer(model_folder: ModelFolder) -> None:
    model = fresh_classifier(model_folder("bert"))
    encoder, texts = plain_batchable(model, TEXTS)
    found = score(LayerStates.of(model), encoder, texts, tokens_per_batch=512)
    width = int(model.module.config.hidden_size)
    assert found.shape == (len(TEXTS), width + LABELS)
    plain = score(model, encoder, texts, tokens_per_batch=512)
    np.testing.assert_allclose(found[:, width:], plain, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "modernbert", "albert", "distilbert", "deberta"])
def test_a_model_of_another_make_is_refused(model_folder: ModelFolder, kind: str) -> None:
    model = fresh_classifier(model_folder(kind))
    with pytest.raises(InputError, match=r"setting student\.exits"):
        layers_of(model.module)
