"""int8: nearly the same scores, from the same weights, and only while a model scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pet.models.fast_paths import linears_in_int8
from pet.models.scoring import score
from tests.cloze import TEXTS, encoder_for, fresh_classifier, load_cloze, plain_batchable, tokenized
from tests.conftest import ModelFolder


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "opt", "bart", "deberta"])
def test_scores_are_near_those_of_float32_for_every_kind_of_model(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    encoder = encoder_for(model.tokenizer, "{text} it is {mask}", causal=model.causal)
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
    layer = torch.nn.Linear(32, 32)
    module = torch.nn.Sequential(layer)
    with pytest.raises(RuntimeError, match="shape"), linears_in_int8(module):
        module(torch.zeros(2, 5))
    assert "forward" not in vars(layer)


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
        with linears_in_int8(module):
            found = module(inputs)
    found, exact = found[..., 1:], exact[..., 1:]  # beside the large output
    error = (found - exact).abs().amax(-1) / exact.abs().amax(-1)
    assert error.max() < 0.02
