"""Which neurons an adapter activates by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from pet.finished.adapter_similarity import active_neurons, overlap
from pet.models.cloze_model import ClozeModel
from pet.models.soft_prompt import SoftPrompt
from tests.cloze import load_cloze
from tests.conftest import ModelFolder

LAYERS, WIDTH = 2, 64  # of every tiny model's feed-forward layers; gpt2's is four times 32
CAUSAL = ("llama", "gpt2", "opt")


def prompted(model: ClozeModel, seed: int = 1, length: int = 3) -> ClozeModel:
    end = length + (0 if model.causal else 1)
    prompt = SoftPrompt.fresh(model.module, length, end, seed)
    prompt.vectors.data.mul_(10)  # far from any word, as trained ones are
    return model.wearing(prompt)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm_roberta", "deberta", *CAUSAL])
def test_every_architecture_has_neurons_that_depend_on_the_prompt(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    voices = [model, *(prompted(model, seed) for seed in range(1, 6))]
    states = [active_neurons(own) for own in voices]
    for state in states:
        assert state is not None
        assert state.shape == (LAYERS * (128 if kind == "gpt2" else WIDTH),)
        assert 0.05 < state.mean() < 0.95
    bare, one, *others = states
    assert min(overlap(one, other) for other in others) < 1
    assert not np.array_equal(bare, one)
    assert np.array_equal(one, active_neurons(prompted(model)))


def test_it_is_the_masks_place_that_is_looked_at(model_folder: ModelFolder) -> None:
    """Computed here by hand: the embeddings with the prompt in them, through the first layer."""
    model = prompted(load_cloze(model_folder("bert")))
    assert isinstance(model.adapter, SoftPrompt)
    mask, bert = model.tokenizer.mask_token_id, model.module.bert
    ids = torch.tensor([[2, mask, mask, mask, mask, 3]])
    with torch.no_grad():
        words = bert.embeddings.word_embeddings(ids)
        words[0, 1:4] = model.adapter.vectors[0]
        hidden = bert.embeddings(inputs_embeds=words)
        attended = bert.encoder.layer[0].attention(hidden)[0]
        before = bert.encoder.layer[0].intermediate.dense(attended)[0, 4]
    found = active_neurons(model)
    assert found is not None
    assert np.array_equal(found[:WIDTH], (functional.gelu(before) > 0).numpy())


def test_no_hook_is_left_behind(model_folder: ModelFolder) -> None:
    model = load_cloze(model_folder("llama"))
    active_neurons(model)
    assert not any(layer._forward_hooks for layer in model.module.modules())


def test_a_model_whose_activations_are_no_modules_has_none(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pet.neurons._CLASSES", ())
    assert active_neurons(load_cloze(model_folder("bert"))) is None


def test_the_overlap_is_the_cosine_of_two_states() -> None:
    one, other = np.array([1, 1, 1, 1, 0], bool), np.array([1, 0, 0, 0, 1], bool)
    assert overlap(one, other) == pytest.approx(1 / 8**0.5)
    assert overlap(one, one) == 1
    assert overlap(one, ~one) == 0
    assert overlap(one, np.zeros(5, bool)) == 0
