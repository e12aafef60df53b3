"""Adapters that are copies of a model's own weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pet.models.cloze_model import ClozeModel
from pet.models.scoring import score
from pet.models.selected_weights import SelectedWeights
from tests.conftest import ModelFolder
from tests.support.cloze import TEXTS, encoder_for, load_cloze, tokenized


def test_a_weight_in_two_places_is_exchanged_in_both(model_folder: ModelFolder) -> None:
    """ALBERT's layers and some biases are tied: exchanged in one place, the other would stay."""
    module = load_cloze(model_folder("bert")).module
    module.cls.predictions.transform.dense.bias = module.bert.encoder.layer[1].output.dense.bias
    adapter = SelectedWeights.fresh(module, "bitfit")
    before = module.cls.predictions.transform.dense.bias
    adapter.enter()
    assert (
        module.cls.predictions.transform.dense.bias
        is module.bert.encoder.layer[1].output.dense.bias
    )
    assert module.cls.predictions.transform.dense.bias is not before
    adapter.leave()
    assert module.cls.predictions.transform.dense.bias is before


@pytest.mark.parametrize(
    ("tuning", "some", "none"),
    [
        ("bitfit", "bert.encoder.layer.0.output.LayerNorm.bias", "cls.predictions.bias"),
        (
            "layer-norm",
            "bert.embeddings.LayerNorm.weight",
            "bert.encoder.layer.0.output.dense.bias",
        ),
        (
            "top-1",
            "bert.encoder.layer.1.output.dense.weight",
            "bert.encoder.layer.0.output.dense.bias",
        ),
    ],
)
def test_what_is_trained_lies_below_the_head(
    model_folder: ModelFolder, tuning: str, some: str, none: str
) -> None:
    """The head's bias has as many numbers as there are words, none of which but a few are asked."""
    weights = SelectedWeights.fresh(load_cloze(model_folder("bert")).module, tuning).weights()
    assert some in weights
    assert none not in weights
    assert not [name for name in weights if name.startswith("cls.")]


def test_int8_scores_do_not_depend_on_who_was_asked_before(model_folder: ModelFolder) -> None:
    """Weights are quantised when scoring begins: those of the adapter that is to score."""
    model = load_cloze(model_folder("bert"))
    model.precision = "int8"
    worn = [model.with_adapter(SelectedWeights.fresh(model.module, "top-1")) for _ in range(2)]
    encoder = encoder_for(model.tokenizer, "it was {text} news: {mask}")
    texts = tokenized(encoder, model.tokenizer, {"text": TEXTS})
    for number, own in enumerate(worn):
        assert own.adapter is not None
        with torch.no_grad():
            for parameter in own.adapter.parameters().values():
                parameter.add_(0.1 * (number + 1))

    def ask(own: ClozeModel) -> np.ndarray:
        return score(own, encoder, texts, tokens_per_batch=512)

    first = ask(worn[0])
    ask(worn[1])
    assert np.array_equal(ask(worn[0]), first)
