"""How alike adapters are by their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from pet.errors import InputError
from pet.finished.adapter_similarity import active_neurons, compare_vectors, overlap, read_vectors
from pet.inputs.warm_start import adapters_of
from pet.models.cloze_model import ClozeModel
from pet.models.soft_prompt import SoftPrompt
from tests.conftest import ModelFolder
from tests.support.cloze import load_cloze

Runs = dict[str, Path]
ONE = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize("tuning", ["lora", "prefix", "soft-prompt"])
def test_an_adapter_is_most_like_itself(adapted_runs: Runs, tuning: str) -> None:
    own, other = (read_vectors(path) for path in adapters_of(adapted_runs[tuning])[:2])
    same, apart = compare_vectors(own, own), compare_vectors(own, other)
    for measure in ("cosine_concatenated", "euclidean_concatenated"):
        assert same[measure] == pytest.approx(1, abs=1e-6)
        assert apart[measure] < 0.9999
    assert ("cosine_average" in apart) == (tuning != "lora")


def test_averages_are_over_every_place_of_one_with_every_place_of_the_other() -> None:
    """Prompts of one set of vectors in another order count as equal, unlike concatenated."""
    found = compare_vectors(ONE, ONE.flip(0))
    assert found["cosine_average"] == pytest.approx(0.5)
    assert found["euclidean_average"] == pytest.approx(1 / (1 + 2**0.5 / 2))
    assert found["cosine_concatenated"] == 0
    assert found["euclidean_concatenated"] == pytest.approx(1 / 3)


def test_prompts_of_two_lengths_have_averages_only() -> None:
    found = compare_vectors(ONE, ONE[:1])
    assert found["cosine_average"] == pytest.approx(0.5)
    assert set(found) == {"cosine_average", "euclidean_average"}


def test_lora_is_compared_by_the_change_that_it_makes(adapted_runs: Runs) -> None:
    """Turned factors, and another rank, are the same change: as written out, so compared."""
    paths = adapters_of(adapted_runs["lora"])
    one, other = read_vectors(paths[0]), read_vectors(paths[1])
    assert isinstance(one, dict)
    assert isinstance(other, dict)
    turned = {
        name: (torch.cat([2 * a, a]), torch.cat([b / 4, b / 2], 1)) for name, (a, b) in one.items()
    }
    assert compare_vectors(turned, other) == pytest.approx(compare_vectors(one, other))
    whole = [torch.cat([(b @ a).flatten() for a, b in of.values()]) for of in (one, other)]
    assert compare_vectors(one, other)["cosine_concatenated"] == pytest.approx(
        float(torch.cosine_similarity(*whole, dim=0))
    )


def test_a_layer_that_one_adapter_leaves_alone_counts_as_no_change() -> None:
    a, b = torch.ones(1, 2).double(), torch.ones(2, 1).double()
    both, first = {"x": (a, b), "y": (a, b)}, {"x": (a, b)}
    assert compare_vectors(both, first)["cosine_concatenated"] == pytest.approx(0.5**0.5)


def test_weights_of_another_kind_are_one_screen(adapted_runs: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "member"
    folder.mkdir()
    for name in ("adapter_config.json", "backbone.json"):
        source = adapters_of(adapted_runs["soft-prompt"])[0] / name
        (folder / name).write_text(source.read_text())
    save_file({"other": torch.ones(2)}, folder / "adapter_model.safetensors")
    with pytest.raises(InputError, match="do not fit together"):
        read_vectors(folder)


LAYERS, WIDTH = 2, 64  # of every tiny model's feed-forward layers; gpt2's is four times 32
CAUSAL = ("llama", "gpt2", "opt")


def prompted(model: ClozeModel, seed: int = 1, length: int = 3) -> ClozeModel:
    end = length + (0 if model.reading == "causal" else 1)
    prompt = SoftPrompt.fresh(model.module, length, end, seed)
    prompt.vectors.data.mul_(10)  # far from any word, as trained ones are
    return model.with_adapter(prompt)


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm_roberta", "deberta", *CAUSAL])
def test_every_architecture_has_neurons_that_depend_on_the_prompt(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    models = [model, *(prompted(model, seed) for seed in range(1, 6))]
    states = [active_neurons(own) for own in models]
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
    monkeypatch.setattr("pet.finished.adapter_similarity._CLASSES", ())
    assert active_neurons(load_cloze(model_folder("bert"))) is None


def test_the_overlap_is_the_cosine_of_two_states() -> None:
    one, other = np.array([1, 1, 1, 1, 0], bool), np.array([1, 0, 0, 0, 1], bool)
    assert overlap(one, other) == pytest.approx(1 / 8**0.5)
    assert overlap(one, one) == 1
    assert overlap(one, ~one) == 0
    assert overlap(one, np.zeros(5, bool)) == 0
