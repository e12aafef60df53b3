"""Rows that the members scored: read back by their place in the pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.data.pool import PoolBatch
from pet.finished.finished_run import open_run
from pet.finished.predictors import ensemble_predictor, scored_rows
from pet.inputs.pool_sample import unlabeled_rows
from pet.models.scoring import Columns
from pet.progress import Tick, no_tick
from pet.student.label_files import Predictions

Configure = Callable[..., Any]


def others(columns: Columns, tick: Tick) -> Predictions:
    count = len(columns["text"])
    tick(count)
    return Predictions(np.tile([0.0, 0.0, 1.0], (count, 1)), np.full(count, np.nan), "other")


def test_rows_are_found_by_their_place_and_others_are_not(mixed_run: Path) -> None:
    run = open_run(mixed_run)
    scored, rows = scored_rows(run), unlabeled_rows(run).rows
    assert scored.find(rows).tolist() == list(range(len(rows)))
    absent = np.setdiff1d(np.arange(60), rows)
    assert set(scored.find(absent)) == {-1}
    assert np.isnan(scored.agreement(absent, np.zeros(len(absent), np.int64))).all()


def test_what_is_read_is_what_the_ensemble_would_predict(mixed_run: Path) -> None:
    run = open_run(mixed_run)
    unlabeled = unlabeled_rows(run)
    asked = ensemble_predictor(run)(unlabeled.columns, no_tick)
    read = scored_rows(run).probabilities("ensemble", unlabeled.rows)
    np.testing.assert_allclose(read, asked.probabilities, atol=1e-5)


@pytest.mark.parametrize("size", [0, 1, 40])
def test_rows_that_were_not_scored_are_asked_for_and_every_row_is_counted(
    mixed_run: Path, size: int
) -> None:
    run = open_run(mixed_run)
    rows = np.arange(size)
    batch = PoolBatch([str(row) for row in rows], {"text": ["x"] * size}, rows, None, [])
    ticks: list[int] = []
    found = scored_rows(run).predict("student", batch, others, ticks.append)
    known = np.isin(rows, unlabeled_rows(run).rows)
    assert found.source.tolist() == np.where(known, "student", "other").tolist()
    assert sum(ticks) == size
    assert (found.probabilities[~known] == [0, 0, 1]).all()
    np.testing.assert_allclose(found.probabilities.sum(axis=1), np.ones(size))
    assert np.isnan(found.agreement).tolist() == (~known).tolist()
