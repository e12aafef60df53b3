"""What members said of the pool, read back: in as little memory as it takes."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pet.ensemble import predictions as answers
from pet.ensemble.predictions import pool_logits, pool_votes

MEMBERS, SHARDS, ROWS, LABELS = 3, 20, 500, 50
WHOLE = 4 * MEMBERS * SHARDS * ROWS * LABELS  # bytes of all logits


def shard(_inputs: Any, members: Any, file: str) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(int(file))
    return [file] * ROWS, rng.random((len(members), ROWS, LABELS), np.float32)


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(answers, "stacked_logits", shard)
    monkeypatch.setattr(answers, "shard_names", lambda inputs: list(map(str, range(SHARDS))))
    monkeypatch.setattr(answers, "unlabeled_rows", lambda inputs: range(SHARDS * ROWS))
    return SimpleNamespace(task=SimpleNamespace(labels=tuple(map(str, range(LABELS)))))


def peak(ask: Any) -> tuple[np.ndarray, int]:
    tracemalloc.start()
    try:
        return ask(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_logits_are_never_in_memory_twice(inputs: Any) -> None:
    """A sample has 10,000 rows a label, so that they grow with the square of the labels."""
    members: Any = range(MEMBERS)
    found, used = peak(lambda: pool_logits(inputs, members))
    assert used < 1.2 * WHOLE
    by_hand = np.concatenate([shard(inputs, members, str(n))[1] for n in range(SHARDS)], axis=1)
    np.testing.assert_array_equal(found, by_hand)


def test_votes_are_counted_shard_by_shard(inputs: Any) -> None:
    members: Any = range(MEMBERS)
    votes, used = peak(lambda: pool_votes(inputs, members))
    assert used < 0.3 * WHOLE
    np.testing.assert_array_equal(votes, pool_logits(inputs, members).argmax(axis=-1))
