"""Scoring: rows come back in their order, whatever the batches were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pet.errors import PetError
from pet.models import scoring
from pet.models.scoring import score, score_columns, score_in_turn
from pet.progress import no_tick
from tests.conftest import ModelFolder
from tests.pet.models.test_training import Failing
from tests.support.cloze import (
    TEXTS,
    encoder_for,
    fresh_classifier,
    load_cloze,
    plain_batchable,
    tokenized,
)

MANY = [f"{text} {'news ' * (number % 5)}" for number, text in enumerate(TEXTS * 5)]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("tokens", [64, 100, 100_000])
def test_the_order_and_the_scores_do_not_depend_on_the_batches(
    model_folder: ModelFolder, kind: str, tokens: int
) -> None:
    model = load_cloze(model_folder(kind))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}", reading=model.reading)
    texts = tokenized(encoder, model.tokenizer, {"text": MANY})
    one_by_one = np.concatenate(
        [
            score(model, encoder, texts, np.array([row]), tokens_per_batch=1)
            for row in range(len(MANY))
        ]
    )
    ticks: list[int] = []
    found = score(model, encoder, texts, tokens_per_batch=tokens, tick=ticks.append)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, one_by_one, atol=1e-4)
    assert sum(ticks) == len(MANY)


def test_chosen_rows_come_in_the_order_asked_for(model_folder: ModelFolder) -> None:
    model = fresh_classifier(model_folder("bert"))
    encoder, texts = plain_batchable(model, MANY)
    everything = score(model, encoder, texts, tokens_per_batch=512)
    rows = np.array([7, 0, 19, 3, 3])
    found = score(model, encoder, texts, rows, tokens_per_batch=40)
    np.testing.assert_allclose(found, everything[rows], atol=1e-5)


def test_dropout_is_off_even_if_the_model_was_being_trained(model_folder: ModelFolder) -> None:
    model = fresh_classifier(model_folder("bert"))
    encoder, texts = plain_batchable(model, MANY)
    model.module.train()
    first = score(model, encoder, texts, tokens_per_batch=512)
    assert np.array_equal(score(model, encoder, texts, tokens_per_batch=512), first)


def test_full_memory_halves_the_batch_and_loses_no_row(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": MANY})
    expected = score(model, encoder, texts, tokens_per_batch=200)
    calls = Failing(model, lambda call: call in (1, 3), torch.OutOfMemoryError("full"))
    ticks: list[int] = []
    found = score(model, encoder, texts, tokens_per_batch=200, tick=ticks.append)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert sum(ticks) == len(MANY)
    assert calls.sizes[1] < calls.sizes[0]


def test_a_full_memory_is_met_once_and_not_again_by_every_batch(model_folder: ModelFolder) -> None:
    """The batches that wait are cut anew, too: each would fail, and halve the size once more."""
    model = load_cloze(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": MANY * 20})
    expected = score(model, encoder, texts, tokens_per_batch=400)
    failed: list[int] = []
    outputs = model.outputs

    def limited(encoder: Any, texts: Any, rows: Any) -> Any:
        tokens = int(encoder.lengths(texts, rows).max()) * len(rows)
        if tokens > 250:
            failed.append(tokens)
            raise torch.OutOfMemoryError("full")
        return outputs(encoder, texts, rows)

    model.outputs = limited  # type: ignore[method-assign]
    found = score(model, encoder, texts, tokens_per_batch=400)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert len(failed) == 1


def test_one_row_too_large_for_the_memory_is_an_error(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": MANY})
    Failing(model, lambda call: True, torch.OutOfMemoryError("full"))
    with pytest.raises(PetError, match="memory for one row"):
        score(model, encoder, texts, tokens_per_batch=512)


def test_a_model_that_says_nan_labels_nothing(model_folder: ModelFolder) -> None:
    """Every row would get the first label, with no word said."""
    model = load_cloze(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": MANY})
    with torch.no_grad():
        next(model.module.parameters())[:] = torch.nan
    with pytest.raises(PetError, match=f"NaN for {len(MANY)} of {len(MANY)} rows"):
        score(model, encoder, texts, tokens_per_batch=512)


def test_a_model_whose_scores_are_infinite_labels_nothing(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their softmax is NaN, and every row gets the first label with a confidence of NaN."""
    model = load_cloze(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": MANY})
    plain = model.outputs
    monkeypatch.setattr(model, "outputs", lambda *given: plain(*given) + torch.inf)
    with pytest.raises(PetError, match=f"infinite ones for {len(MANY)} of {len(MANY)} rows"):
        score(model, encoder, texts, tokens_per_batch=512)


def test_no_rows_give_no_scores(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": []})
    assert score(model, encoder, texts, tokens_per_batch=512).shape == (0, 3)


def test_no_rows_give_a_classifier_no_scores_for_every_label(model_folder: ModelFolder) -> None:
    model = fresh_classifier(model_folder("bert"))
    encoder, texts = plain_batchable(model, [])
    assert score(model, encoder, texts, tokens_per_batch=512).shape == (0, 3)


def test_a_cpu_gets_small_batches_and_the_same_scores(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Larger ones outgrow its caches; a score must not depend on how many rows go together."""
    model = load_cloze(model_folder("bert"))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": MANY})
    calls = Failing(model, lambda call: False, ValueError())
    found = []
    for most in (100, 100_000):
        monkeypatch.setattr(scoring, "CPU_TOKENS", most)
        found.append(score(model, encoder, texts, tokens_per_batch=100_000))
    assert calls.sizes[-1] == len(MANY) > max(calls.sizes[:-1])
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_models_are_asked_in_their_order_and_a_row_counts_once(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    encoders = [encoder_for(model.tokenizer, t) for t in ("{mask}: {text}", "{text} {mask}")]
    ticks: list[int] = []
    models = [(model, [encoder]) for encoder in encoders]
    found = score_in_turn(models, 2, {"text": TEXTS}, 64, ticks.append)
    assert sum(ticks) == len(TEXTS)
    for encoder, own in zip(encoders, found, strict=True):
        alone = score_columns(model, encoder, {"text": TEXTS}, 64)
        np.testing.assert_array_equal(own, alone)


def test_texts_are_tokenised_once_for_all_encoders(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_cloze(model_folder("bert"))
    templates = ("{mask}: {text}", "{mask} {text}", "it was {mask}. {text}")
    encoders = [encoder_for(model.tokenizer, t) for t in templates]
    assert len({slot for encoder in encoders for slot in encoder.slots}) == 1
    calls: list[Any] = []
    once = scoring.tokenize
    monkeypatch.setattr(scoring, "tokenize", lambda *a: calls.append(a) or once(*a))
    score_in_turn([(model, encoders)], 3, {"text": TEXTS}, 64, no_tick)
    assert len(calls) == 1
