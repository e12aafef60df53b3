from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pet import models
from pet.last_layer import last_layer
from pet.models import Model
from tests.cloze import TEXTS, encoder_for, fresh_classifier, load_cloze, plain_batchable, tokenized
from tests.conftest import ModelFolder
from tests.test_models import ROWS

FAMILY = ("bert", "roberta", "xlm_roberta")
WORDS = {"a": ("sport",), "b": ("rocketman",), "c": ("money",)}  # of one token, and of several


def model_of(folder: Any, what: str) -> tuple[Model, Any, Any]:
    """A model, its encoder and its tokenised texts, which are of unlike length."""
    if what == "classifier":
        classifier = fresh_classifier(folder)
        return classifier, *plain_batchable(classifier, TEXTS)
    cloze = load_cloze(folder)
    words = WORDS if what == "longer words" else None
    encoder = encoder_for(cloze.tokenizer, "{text} it is {mask}", words=words)
    return cloze, encoder, tokenized(encoder, cloze.tokenizer, {"text": TEXTS})


def scores_and_gradients(model: Model, encoder: Any, texts: Any) -> tuple[Tensor, list[Tensor]]:
    scores = model.outputs(encoder, texts, ROWS)
    scores.log_softmax(1)[:, 0].sum().backward()
    trained = [p.grad for p in model.trained().values()]
    model.module.zero_grad()
    return scores.detach(), [torch.zeros(()) if grad is None else grad for grad in trained]


@pytest.mark.parametrize("what", ["words", "longer words", "classifier"])
@pytest.mark.parametrize("kind", FAMILY)
def test_a_layer_computed_in_part_says_and_learns_the_same(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, kind: str, what: str
) -> None:
    model, encoder, texts = model_of(model_folder(kind), what)
    widths: list[int] = []
    model.module.base_model.register_forward_hook(
        lambda _module, _inputs, output: widths.append(output[0].shape[1])
    )
    short = scores_and_gradients(model, encoder, texts)
    assert min(widths[2:]) <= 4 < widths[0], "every token was computed to the end"
    monkeypatch.setattr(models, "last_layer", lambda backbone: None)
    whole = scores_and_gradients(model, encoder, texts)
    torch.testing.assert_close(short, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "deberta"])
def test_a_model_of_another_make_is_computed_whole(model_folder: ModelFolder, kind: str) -> None:
    """Its last layer has other parts, or is looked at from every token."""
    assert last_layer(load_cloze(model_folder(kind)).module.base_model) is None


@pytest.mark.parametrize("what", ["words", "classifier"])
def test_a_layer_of_the_name_that_computes_otherwise_is_found_out(
    model_folder: ModelFolder, what: str
) -> None:
    """The name says nothing of what somebody's own model does; it would be silently wrong."""
    model, encoder, texts = model_of(model_folder("bert"), what)
    layer = model.module.base_model.encoder.layer[-1]
    own = type(layer)

    class BertLayer(own):  # type: ignore[misc, valid-type]
        def forward(self, hidden: Tensor, *arguments: Any, **settings: Any) -> Tensor:
            return -3 * super().forward(hidden, *arguments, **settings)  # type: ignore[no-any-return]

    layer.__class__ = BertLayer
    with torch.no_grad():
        found = model.outputs(encoder, texts, ROWS)
        layer.__class__ = own
        usual = model_of(model_folder("bert"), what)[0].outputs(encoder, texts, ROWS)
        assert not torch.allclose(found, usual, atol=1e-2)
        layer.__class__ = BertLayer
        torch.testing.assert_close(model.outputs(encoder, texts, ROWS), found)


def test_a_layer_that_somebody_else_has_changed_is_left_alone(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("bert"))
    layer = last_layer(model.module.base_model)
    assert layer is not None
    layer.forward = layer.forward  # as hooks of accelerate do
    assert last_layer(model.module.base_model) is None
