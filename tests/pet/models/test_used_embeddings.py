"""Training the embeddings of the tokens that texts have gives what training all of them gives."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pet.config import ModelRef, TrainingConfig
from pet.models import training
from pet.models.model import Classifier, Model
from pet.models.training import Diverged, train
from pet.models.used_embeddings import used_embeddings
from pet.tasks.compilation import plain_encoder
from pet.tasks.encoding import Encoder
from tests.conftest import ModelFolder
from tests.support.cloze import CPU, WORDS, encoder_for, load_cloze, tokenized

TEXTS = ("the team won the game", "a rocket to the moon", "stock price of the bank", "goal")
TRUTH = torch.tensor([0, 1, 2, 0])
ROWS = np.arange(len(TEXTS))


def cross_entropy(scores: Tensor, rows: Any) -> Tensor:
    return functional.cross_entropy(scores, TRUTH[torch.from_numpy(rows)], reduction="sum")


def asked(model: Model, words: Any = None, **settings: Any) -> tuple[Encoder, Any]:
    if isinstance(model, Classifier):
        encoder = plain_encoder(model.tokenizer, ("text",), 64)
    else:
        encoder = encoder_for(model.tokenizer, "{text} it is {mask}", words=words, **settings)
    return encoder, tokenized(encoder, model.tokenizer, {"text": TEXTS})


def fit(model: Model, steps: int = 5, loss: Any = cross_entropy) -> None:
    settings = TrainingConfig(steps=steps, batch_size=3, dropout=0.0, learning_rate=1e-3)
    encoder, texts = asked(model)
    train(model, encoder, texts, ROWS, loss, settings, warmup=0.1, seed=0, tokens_per_batch=4096)


def load(model_folder: ModelFolder, kind: str) -> Model:
    if not kind.startswith("classifier:"):
        return load_cloze(model_folder(kind))
    folder = model_folder(kind.removeprefix("classifier:"))
    return Classifier.fresh(ModelRef(str(folder)), ("a", "b", "c"), CPU, seed=0)


def embeddings(model: Model) -> Tensor:
    return model.module.get_input_embeddings().weight


KINDS = ["bert", "roberta", "albert", "electra", "classifier:bert", "classifier:roberta"]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_training_all_embeddings(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Of the few that a text lacks, weight decay alone would have changed something."""
    narrow, whole = load(model_folder, kind), load(model_folder, kind)
    before = embeddings(narrow).detach().clone()
    fit(narrow)
    monkeypatch.setattr(training, "used_embeddings", lambda *_: nullcontext())
    fit(whole)
    same = dict(whole.module.named_parameters())
    for name, weight in narrow.module.named_parameters():
        torch.testing.assert_close(weight, same[name], atol=2e-5, rtol=1e-3)
    changed = (embeddings(narrow) != before).any(dim=1)
    assert 5 < changed.sum() < len(changed) / 2
    assert (embeddings(whole) != before).any(dim=1).sum() > changed.sum()


@pytest.mark.parametrize("kind", ["bert", "albert"])
def test_tied_weights_are_narrowed_together_and_stay_tied(
    model_folder: ModelFolder, kind: str
) -> None:
    """The head's rows of the label words are the embeddings of these words."""
    model = load(model_folder, kind)
    head = model.module.get_output_embeddings()
    whole = embeddings(model)
    encoder, texts = asked(model)
    with used_embeddings(model, encoder, texts, ROWS):
        assert len(embeddings(model)) < len(whole)
        assert head.weight is embeddings(model)
    assert head.weight is embeddings(model) is whole
    fit(model, steps=1)
    word = encoder.words.tokens[0][0][0]
    assert torch.equal(head.weight[word], embeddings(model)[word])


def test_words_of_several_tokens_are_predicted_among_the_whole_vocabulary(
    model_folder: ModelFolder,
) -> None:
    model = load_cloze(model_folder("bert"))
    encoder, texts = asked(model, words={**WORDS, "a": ("sport game",)})
    assert not encoder.by_logits
    whole = embeddings(model)
    with used_embeddings(model, encoder, texts, ROWS):
        assert embeddings(model) is whole


@pytest.mark.parametrize("kind", ["t5", "bart", "deberta"])
def test_embeddings_in_further_places_are_left_alone(model_folder: ModelFolder, kind: str) -> None:
    """Encoder and decoder read the same ones, each its own tokens; DeBERTa's head is given them."""
    model = load_cloze(model_folder(kind))
    encoder, texts = asked(model, reading=model.reading)
    whole = embeddings(model)
    with used_embeddings(model, encoder, texts, ROWS):
        assert embeddings(model) is whole


def test_frozen_embeddings_are_left_alone(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    model.module.requires_grad_(False)
    encoder, texts = asked(model)
    whole = embeddings(model)
    with used_embeddings(model, encoder, texts, ROWS):
        assert embeddings(model) is whole


def test_training_that_fails_leaves_the_whole_vocabulary(model_folder: ModelFolder) -> None:
    """Otherwise what is asked next would read other words' embeddings."""
    model = load_cloze(model_folder("roberta"))
    whole, padding = embeddings(model), model.module.get_input_embeddings().padding_idx
    scored = model.outputs(*asked(model), ROWS).detach()
    with pytest.raises(Diverged):
        fit(model, loss=lambda scores, rows: scores.sum() * float("nan"))
    assert embeddings(model) is whole
    assert model.module.get_input_embeddings().padding_idx == padding
    torch.testing.assert_close(model.outputs(*asked(model), ROWS), scored)


def test_padding_learns_nothing(model_folder: ModelFolder) -> None:
    """Its row stands at another place of the narrower table."""
    model = load_cloze(model_folder("roberta"))
    padding = model.module.get_input_embeddings().padding_idx
    assert padding is not None
    before = embeddings(model)[padding].detach().clone()
    fit(model)
    decayed = before * (1 - 5 * 1e-3 * training.WEIGHT_DECAY)
    torch.testing.assert_close(embeddings(model)[padding], decayed, atol=1e-5, rtol=1e-3)
