"""Finished runs have held-out members and cross-fitting: ensembles are scaled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pet.finished import predictors


@pytest.fixture(scope="session")
def tiny_run(shipped_run: Path) -> Path:
    """A finished run with both; not to be changed."""
    return shipped_run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts members are asked about, call by call."""
    counts: list[int] = []
    real = predictors.score_in_turn

    def watched(models: Any, members: int, columns: Any, *others: Any) -> Any:
        counts.append(len(columns["text"]))
        return real(models, members, columns, *others)

    monkeypatch.setattr(predictors, "score_in_turn", watched)
    return counts
