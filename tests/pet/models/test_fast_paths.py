"""int8: nearly the same scores, from the same weights, and only while a model scores."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pet.models import model as models
from pet.models.fast_paths import LinearsInInt8, last_layer
from pet.models.model import Model
from pet.models.prefix import Prefix
from pet.models.scoring import score
from tests.conftest import ModelFolder
from tests.pet.models.test_model import ROWS
from tests.support.cloze import (
    TEXTS,
    encoder_for,
    fresh_classifier,
    load_cloze,
    plain_batchable,
    tokenized,
)

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


def test_a_student_may_be_asked_by_several_threads_at_once(model_folder: ModelFolder) -> None:
    """Each looks at other places; one thread's were taken for another's, or the layer was gone."""
    model, encoder, texts = model_of(model_folder("bert"), "classifier")
    parts = [np.array(part) for part in ([0], [1, 2], [0, 1, 2, 0], [2, 0, 1])]

    def ask(number: int) -> Tensor:
        with torch.no_grad():
            return model.outputs(encoder, texts, parts[number % len(parts)])

    alone = [ask(number) for number in range(len(parts))]
    with ThreadPoolExecutor(4) as threads:
        for number, found in enumerate(threads.map(ask, range(200))):
            torch.testing.assert_close(found, alone[number % len(parts)])


def test_a_model_of_its_own_attention_is_asked_after_one_with_a_prefix(
    model_folder: ModelFolder,
) -> None:
    """The prefix's way to attend was still in force when the layer was looked up."""
    model, encoder, texts = model_of(model_folder("bert"), "words")
    model.module.set_attn_implementation("eager")
    whole = model.outputs(encoder, texts, ROWS)
    words = model.tokenizer.convert_tokens_to_ids(["game", "star"])
    worn = model.with_adapter(Prefix.fresh(model.module, words, words, 0, 1))
    assert not torch.allclose(worn.outputs(encoder, texts, ROWS), whole, atol=1e-3)
    torch.testing.assert_close(model.outputs(encoder, texts, ROWS), whole)


@pytest.mark.parametrize("what", ["words", "longer words", "classifier"])
def test_a_mask_of_each_place_that_asks_is_kept(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Of a model that attends to its neighbours only: the first token's mask is not the mask's."""
    model, encoder, texts = model_of(model_folder("bert"), what)
    backbone = model.module.base_model

    def near(mask: Tensor, length: int) -> Tensor:
        places = torch.arange(length)
        return mask[:, None, None].bool() & ((places[:, None] - places).abs() <= 1)

    usual = backbone.encoder.forward

    def windowed(hidden: Tensor, attention_mask: Tensor | None = None, **settings: Any) -> Any:
        return usual(hidden, attention_mask=near(seen[-1], hidden.shape[1]), **settings)

    seen: list[Tensor] = []
    backbone.register_forward_pre_hook(
        lambda _module, _arguments, given: seen.append(given["attention_mask"]), with_kwargs=True
    )
    backbone.encoder.forward = windowed
    short = scores_and_gradients(model, encoder, texts)
    monkeypatch.setattr(models, "last_layer", lambda backbone: None)
    torch.testing.assert_close(
        short, scores_and_gradients(model, encoder, texts), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("what", ["words", "classifier"])
def test_a_model_that_was_asked_is_freed_when_it_is_dropped(
    model_folder: ModelFolder, what: str
) -> None:
    """In a ring of references every member's weights would stay until Python looks for rings."""
    model, encoder, texts = model_of(model_folder("bert"), what)
    with torch.no_grad():
        model.outputs(encoder, texts, ROWS)
    weights = weakref.ref(model.module.base_model.encoder)
    gc.disable()
    try:
        del model
        assert weights() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "opt", "bart", "deberta"])
def test_scores_are_near_those_of_float32_for_every_kind_of_model(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}", reading=model.reading)
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    exact = score(model, encoder, texts, tokens_per_batch=512)
    model.precision = "int8"
    found = score(model, encoder, texts, tokens_per_batch=512)
    assert not np.array_equal(found, exact), "nothing was computed in int8"
    np.testing.assert_allclose(found, exact, atol=0.05 * float(np.ptp(exact)))


def test_a_model_that_has_scored_in_int8_is_as_it_was(model_folder: ModelFolder) -> None:
    """Otherwise it would be trained, or saved, with weights that were rounded to 255 values."""
    model = fresh_classifier(model_folder("bert"))
    encoder, texts = plain_batchable(model, TEXTS)
    exact = score(model, encoder, texts, tokens_per_batch=512)
    model.precision = "int8"
    score(model, encoder, texts, tokens_per_batch=512)
    rows = np.arange(len(TEXTS))
    with torch.no_grad():
        np.testing.assert_allclose(model.outputs(encoder, texts, rows), exact, atol=1e-5)


def test_an_error_while_scoring_leaves_no_layer_in_int8() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(32, 32))
    inputs = torch.randn(2, 32)
    exact = module(inputs)
    with pytest.raises(RuntimeError, match="shape"), LinearsInInt8(module):
        module(torch.zeros(2, 5))
    assert torch.equal(module(inputs), exact)


def test_each_token_and_each_output_has_a_scale_of_its_own() -> None:
    """With one scale for all, a single large value would round the others to nothing."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 64)
    with torch.no_grad():
        layer.weight[0] *= 1000
    inputs = torch.randn(3, 5, 64)
    inputs[0, 0] *= 1000
    module = torch.nn.Sequential(layer)
    with torch.no_grad():
        exact = module(inputs)
        with LinearsInInt8(module):
            found = module(inputs)
    found, exact = found[..., 1:], exact[..., 1:]  # beside the large output
    error = (found - exact).abs().amax(-1) / exact.abs().amax(-1)
    assert error.max() < 0.02
