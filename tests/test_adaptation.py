"""Continued pre-training on the pool: every pattern with every kind of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from pet.adaptation import adapt
from pet.cloze_models import ClozeModel
from pet.inputs import read_inputs
from pet.models import Rows

Configure = Callable[..., Any]


def test_the_passes_of_a_step_are_of_one_pattern(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken in turn by pass, one pattern had the long texts of every step, the other the short."""
    asked: list[tuple[int, int]] = []
    usual = ClozeModel.language_model_loss

    def note(model: ClozeModel, encoder: Any, texts: Any, rows: Rows) -> Tensor:
        asked.append((id(encoder), len(rows)))
        return usual(model, encoder, texts, rows)

    monkeypatch.setattr(ClozeModel, "language_model_loss", note)
    inputs = read_inputs(
        config_for(adapt_steps=6, adaptation={"batch_size": 8}, tokens_per_batch=64)
    )
    adapt(inputs)
    assert len(asked) > 6, "no step was taken in several passes"
    steps, left = [set[int]()], 8
    for encoder, rows in asked:
        if not left:
            steps.append(set())
            left = 8
        steps[-1].add(encoder)
        left -= rows
    assert [len(encoders) for encoders in steps] == [1] * 6
    assert len(set.union(*steps)) == len(inputs.task.patterns)
