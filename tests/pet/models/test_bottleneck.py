"""Bottleneck adapters: where they are, and that they begin as no change."""

from __future__ import annotations

import torch

from pet.models.bottleneck import Bottleneck, BottleneckAdapter
from tests.conftest import ModelFolder
from tests.support.cloze import load_cloze


def test_a_new_bottleneck_changes_next_to_nothing() -> None:
    torch.manual_seed(1)
    states = torch.randn(3, 5, 32)
    assert torch.allclose(Bottleneck(32, 8)(states), states, atol=0.01)


def test_houlsby_has_one_behind_attention_too(model_folder: ModelFolder) -> None:
    module = load_cloze(model_folder("bert")).module
    places = {
        tuning: BottleneckAdapter.fresh(module, tuning, 4, 1).settings()["layers"]
        for tuning in ("houlsby", "pfeiffer")
    }
    assert places["pfeiffer"] == [f"bert.encoder.layer.{n}.output.dense" for n in (0, 1)]
    assert sorted(set(places["houlsby"]) - set(places["pfeiffer"])) == [
        f"bert.encoder.layer.{n}.attention.output.dense" for n in (0, 1)
    ]
