"""Labeled rows that nobody has learned from, and what is said of them, in whole runs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pet.ensemble import predictions as answers
from pet.ensemble.logits import read_logits
from pet.ensemble.members import Member
from pet.ensemble.predictions import (
    out_of_fold_logits,
    out_of_fold_path,
    out_of_fold_rows,
    pool_logits,
    pool_votes,
)
from pet.inputs.reading import open_session
from pet.method.calibration import Scaling
from pet.method.outcomes import ONE
from pet.pipeline import label_pool
from tests.support.lineups import held_out_of, planned

Configure = Callable[..., Any]


def test_a_row_is_predicted_out_of_fold_by_those_only_who_left_it_out(
    config_for: Configure,
) -> None:
    config = config_for()
    label_pool(config)
    held_out = Path(config.out) / "members" / "held-out-last-r0"
    assert {path.name for path in held_out.iterdir()} == {"done.json", "held_out.parquet"}
    session = open_session(config)
    members = planned(session).first
    found = out_of_fold_logits(session, planned(session), members, [1.0] * len(members))
    assert found is not None
    rows, logits = found
    held_out_members = held_out_of(session, 0)
    assert set(rows.tolist()) == {
        row for j in held_out_members for row in planned(session).held_out_rows[j].tolist()
    }
    for row, ensemble_scores in zip(rows, logits, strict=True):
        said = [
            read_logits(out_of_fold_path(session, planned(session), member))[1][row]
            for member, held_out in zip(members, held_out_members, strict=True)
            if row in planned(session).held_out_rows[held_out]
        ]
        own = np.mean(said, axis=0)
        np.testing.assert_allclose(ensemble_scores, own - own.mean(), atol=1e-5)


def test_an_encoder_that_was_taught_by_trained_members_has_seen_the_labeled_rows(
    config_for: Configure, model_folder: Any
) -> None:
    """They know these rows, and hand it on: its cross-validation is no longer one."""
    config = config_for(encoder=str(model_folder("bert")), generations=1, growth_factor=1.5)
    label_pool(config)
    session = open_session(config)
    encoders = [Member("", 0, number, "encoder") for number in (0, 1)]
    assert out_of_fold_rows(session, planned(session), encoders[0]).all()
    assert not out_of_fold_rows(session, planned(session), encoders[1]).any()


MEMBERS, SHARDS, ROWS, LABELS = 3, 20, 500, 50
WHOLE = 4 * MEMBERS * SHARDS * ROWS * LABELS  # bytes of all logits


def shard(_inputs: Any, members: Any, file: str) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(int(file))
    return [file] * ROWS, rng.random((len(members), ROWS, LABELS), np.float32)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(answers, "stacked_logits", shard)
    monkeypatch.setattr(answers, "shard_names", lambda session: list(map(str, range(SHARDS))))
    monkeypatch.setattr(answers, "unlabeled_rows", lambda session: range(SHARDS * ROWS))
    return SimpleNamespace(task=SimpleNamespace(labels=tuple(map(str, range(LABELS)))))


def peak(ask: Any) -> tuple[np.ndarray, int]:
    tracemalloc.start()
    try:
        return ask(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_logits_are_never_in_memory_twice(session: Any) -> None:
    """A sample has 10,000 rows a label, so that they grow with the square of the labels."""
    members: Any = range(MEMBERS)
    found, used = peak(lambda: pool_logits(session, members))
    assert used < 1.2 * WHOLE
    by_hand = np.concatenate([shard(session, members, str(n))[1] for n in range(SHARDS)], axis=1)
    np.testing.assert_array_equal(found, by_hand)


def test_votes_are_counted_shard_by_shard(session: Any) -> None:
    members: Any = range(MEMBERS)
    votes, used = peak(lambda: pool_votes(session, members, ONE, Scaling.plain(1.0, LABELS)))
    assert used < 0.3 * WHOLE
    np.testing.assert_array_equal(votes, pool_logits(session, members).argmax(axis=-1))
