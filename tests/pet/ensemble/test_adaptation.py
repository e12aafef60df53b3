"""Continued pre-training on the pool: every pattern with every kind of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pet.ensemble import adaptation
from pet.inputs.pool_sample import sample_pool
from pet.inputs.reading import open_session
from pet.models.batching import Rows
from pet.models.cloze_model import ClozeModel
from pet.models.masked_model import MaskedModel


def test_the_passes_of_a_step_are_of_one_pattern(
    config_for: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken in turn by pass, one pattern had the long texts of every step, the other the short."""
    asked: list[Any] = []

    def note(model: ClozeModel, encoder: Any, texts: Any, rows: Rows) -> Tensor:
        asked.append(encoder)
        return torch.zeros(())

    def two_passes_a_step(
        model: Any, lengths: Any, rows: Rows, loss: Any, settings: Any, **_: Any
    ) -> list[float]:
        for step in range(settings.steps):
            for part in (rows[:2], rows[2:4]):
                loss(part, step=step)
        return []

    monkeypatch.setattr(MaskedModel, "language_model_loss", note)
    monkeypatch.setattr(adaptation, "optimize", two_passes_a_step)
    session = open_session(config_for(adapt_steps=6))
    sample_pool(session)
    adaptation.adapt(session)
    assert asked[::2] == asked[1::2]
    assert len(set(map(id, asked))) == len(session.task.patterns)
