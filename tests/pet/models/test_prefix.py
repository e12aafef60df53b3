"""Prefixes beside slow references: a cache for causal models, attention by hand for encoders."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AlbertConfig, AlbertForMaskedLM, DynamicCache

from pet.models.adapter import save_adapter
from pet.models.prefix import Prefix, activations
from tests.support.cloze import load_cloze

ModelFolder = Callable[[str], Path]
WORDS = [7, 9, 11, 12]


def prefixed(folder: Path, first: Any = 3, width: int = 0) -> tuple[Any, Prefix]:
    model = load_cloze(folder)
    prefix = Prefix.fresh(model.module, first, WORDS, width, 1)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in prefix.parameters().values():
            parameter.add_(torch.randn_like(parameter))
    return model, prefix


def batch() -> tuple[Tensor, Tensor]:
    """Two rows, the second of them padded."""
    torch.manual_seed(1)
    ids = torch.randint(5, 40, (2, 9))
    attention = torch.ones_like(ids)
    attention[1, 6:] = 0
    return ids, attention


def said(model: Any, prefix: Prefix, ids: Tensor, attention: Tensor) -> Tensor:
    prefix.enter()
    try:
        with torch.no_grad():
            return model.module(input_ids=ids, attention_mask=attention).logits
    finally:
        prefix.leave()


@pytest.mark.parametrize("kind", ["llama", "gpt2", "opt"])
def test_a_causal_prefix_is_a_cache_that_takes_no_positions(
    model_folder: ModelFolder, kind: str
) -> None:
    model, prefix = prefixed(model_folder(kind))
    ids, attention = batch()
    cache = DynamicCache(config=model.module.config)
    for number in range(len(prefix.keys)):
        keys, values = prefix.of_layer(number)
        cache.update(
            keys.detach().expand(2, -1, -1, -1), values.detach().expand(2, -1, -1, -1), number
        )
    places = torch.arange(9).expand(2, -1)
    with torch.no_grad():
        expected = model.module(
            input_ids=ids,
            attention_mask=torch.cat([torch.ones(2, 3).long(), attention], dim=1),
            position_ids=places,
            past_key_values=cache,
        ).logits
    found = said(model, prefix, ids, attention)
    assert torch.allclose(found[attention == 1], expected[attention == 1], atol=1e-4)


def by_hand(layer: Any, hidden: Tensor, allowed: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """One head and one place after another: softmax over the prefix and the text."""
    rows, tokens, width = hidden.shape
    heads, size = keys.shape[0], keys.shape[2]
    queries, own_keys, own_values = (
        project(hidden).view(rows, tokens, heads, size)
        for project in (layer.query, layer.key, layer.value)
    )
    out = torch.zeros(rows, tokens, width)
    for row in range(rows):
        seen = [place for place in range(tokens) if allowed[row, place]]
        for head in range(heads):
            all_keys = torch.cat([keys[head], own_keys[row, seen, head]])
            all_values = torch.cat([values[head], own_values[row, seen, head]])
            for place in range(tokens):
                weights = torch.softmax(all_keys @ queries[row, place, head] / size**0.5, dim=0)
                out[row, place, head * size : (head + 1) * size] = weights @ all_values
    return out


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_encoders_prefix_is_attended_to_from_every_place(
    model_folder: ModelFolder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, prefix = prefixed(model_folder(kind), width=4)
    ids, attention = batch()
    found = said(model, prefix, ids, attention)
    for number, layer in enumerate(prefix._layers):

        def forward(
            hidden: Tensor, *_: Any, number: int = number, layer: Any = layer, **__: Any
        ) -> Any:
            return by_hand(layer, hidden, attention, *prefix.of_layer(number)), None

        monkeypatch.setattr(layer, "forward", forward)
    with torch.no_grad():
        expected = model.module(input_ids=ids, attention_mask=attention).logits
    assert torch.allclose(found[attention == 1], expected[attention == 1], atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "roberta", "albert", "llama"])
def test_a_prefix_is_gone_when_it_is_no_longer_in_force(
    model_folder: ModelFolder, kind: str
) -> None:
    model = load_cloze(model_folder(kind))
    ids, attention = batch()
    with torch.no_grad():
        before = model.module(input_ids=ids, attention_mask=attention).logits
    usual = model.module.config._attn_implementation
    prefix = Prefix.fresh(model.module, WORDS, WORDS, 4, 1)
    assert not torch.allclose(said(model, prefix, ids, attention), before, atol=1e-3)
    with torch.no_grad():
        assert torch.equal(model.module(input_ids=ids, attention_mask=attention).logits, before)
    assert model.module.config._attn_implementation == usual


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama"])
def test_a_prefix_starts_from_the_activations_of_words(
    model_folder: ModelFolder, kind: str
) -> None:
    """The MLP adds nothing at first, or the words would be lost before the first step."""
    model = load_cloze(model_folder(kind))
    prefix = Prefix.fresh(model.module, WORDS, WORDS, 8, 1)
    for number, (_, keys, values) in enumerate(activations(model.module, WORDS)):
        assert keys.shape[1] == len(WORDS)
        own = prefix.of_layer(number)
        assert torch.equal(own[0], keys)
        assert torch.equal(own[1], values)
    first = model.module.get_submodule(prefix.settings()["layers"][0])
    assert "ttention" in type(first).__name__
    assert len(prefix.keys) == model.module.config.num_hidden_layers


def test_words_activations_in_front_of_a_causal_text_are_the_words_themselves(
    model_folder: ModelFolder,
) -> None:
    """GPT-2's keys do not turn with their places: a prefix of words is a text with these words."""
    model = load_cloze(model_folder("gpt2"))
    prefix = Prefix.fresh(model.module, WORDS, WORDS, 0, 1)
    ids, _ = batch()
    whole = torch.cat([torch.tensor([WORDS]).expand(2, -1), ids], dim=1)
    places = torch.cat([torch.arange(4), torch.arange(9)])[None].expand(2, -1)
    with torch.no_grad():
        expected = model.module(
            input_ids=whole,
            attention_mask=torch.ones_like(whole),
            position_ids=places,
            use_cache=False,
        ).logits[:, 4:]
    assert torch.allclose(said(model, prefix, ids, torch.ones_like(ids)), expected, atol=1e-3)


def untied(model: Any) -> Any:
    """The same ALBERT with a module of its own for every layer."""
    settings = model.module.config.to_dict()
    settings["num_hidden_groups"] = settings["num_hidden_layers"]
    twin = AlbertForMaskedLM(AlbertConfig.from_dict(settings)).eval()
    weights = model.module.state_dict()
    group = "albert_layer_groups.0."
    for name in twin.state_dict():
        if "albert_layer_groups." in name:
            weights[name] = weights[re.sub(r"albert_layer_groups\.\d+\.", group, name)]
    twin.load_state_dict(weights)
    return twin


def test_layers_that_share_a_module_have_a_prefix_each(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    """Only the last layer's was in force; it was left out when the prefix was read back."""
    model, prefix = prefixed(model_folder("albert"), width=4)
    ids, attention = batch()
    found = said(model, prefix, ids, attention)
    twin = copy(model)
    twin.module = untied(model)
    own = Prefix.fresh(twin.module, 3, WORDS, 0, 1)
    assert len(own.keys) == len(prefix.keys) == model.module.config.num_hidden_layers
    with torch.no_grad():
        for number in range(len(own.keys)):
            keys, values = prefix.of_layer(number)
            own.keys[number].copy_(keys)
            own.values[number].copy_(values)
    assert torch.allclose(found, said(twin, own, ids, attention), atol=1e-4)
    save_adapter(prefix, tmp_path, {})
    kept = Prefix.load(model.module, tmp_path)
    assert torch.equal(said(model, kept, ids, attention), found)


def test_the_mlp_is_dropped_when_a_prefix_is_kept(model_folder: ModelFolder) -> None:
    model, prefix = prefixed(model_folder("bert"), width=8)
    assert any("hidden" in name for name in prefix.parameters())
    layers = model.module.config.num_hidden_layers
    assert len(prefix.weights()) == 2 * layers
    assert all(name.endswith((".keys", ".values")) for name in prefix.weights())


def test_bfloat16_reaches_a_prefix_too(model_folder: ModelFolder) -> None:
    model, prefix = prefixed(model_folder("bert"))
    ids, attention = batch()
    exact = said(model, prefix, ids, attention)
    with torch.autocast("cpu", torch.bfloat16):
        rough = said(model, prefix, ids, attention)
    # Logits of random weights times four are in the tens.
    assert torch.allclose(rough.float(), exact, atol=0.1 * float(exact.abs().max()))
