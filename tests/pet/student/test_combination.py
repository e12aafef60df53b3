"""Soft labels against the members' scores by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.ensemble.logits import read_logits
from pet.errors import PetError
from pet.inputs.reading import open_session
from pet.pipeline import label_pool
from pet.storage.files import read_json
from pet.storage.units import DONE
from pet.student.combination import write_soft_labels
from tests.support import samples
from tests.support.lineups import named, planned

Configure = Callable[..., Any]


def stacked(run: Path, file: str) -> np.ndarray:
    return np.stack(
        [
            read_logits(run / "members" / f"g0-{name}-r0" / "logits" / file)[1]
            for name in samples.PATTERNS
        ]
    )


def test_soft_labels_are_the_weighted_members_at_temperature_two(tiny_run: Path) -> None:
    record = read_json(tiny_run / "soft_labels" / DONE)
    weights = record["weights"]
    assert list(weights) == [f"g0-{name}-r0" for name in samples.PATTERNS]
    files = sorted((tiny_run / "soft_labels").glob("part-*.parquet"))
    assert len(files) == 3
    for path in files:
        ids, soft = read_logits(path)
        logits = stacked(tiny_run, path.name)
        share = np.array(list(weights.values())) / sum(weights.values())
        mean = (share[:, None, None] * logits).sum(0) / record["ensemble_temperature"]
        mean = (mean + record["ensemble_offsets"]) / 2
        by_hand = np.exp(mean) / np.exp(mean).sum(1, keepdims=True)
        np.testing.assert_allclose(soft, by_hand, atol=1e-5)
        assert ids == read_logits(tiny_run / "members" / "g0-last-r0" / "logits" / path.name)[0]


def test_weights_are_the_accuracy_before_training(tiny_run: Path) -> None:
    weights = read_json(tiny_run / "soft_labels" / DONE)["weights"]
    truth = np.repeat(np.arange(3), 4)
    for name in samples.PATTERNS:
        path = tiny_run / "members" / f"untrained-{name}" / "logits" / "labeled.parquet"
        right = (read_logits(path)[1].argmax(1) == truth).mean()
        assert weights[f"g0-{name}-r0"] == pytest.approx(right, abs=1e-4)


def test_uniform_weights_are_all_one(config_for: Configure, run_copy: Path) -> None:
    label_pool(config_for(out=run_copy, weights="uniform"))
    assert set(read_json(run_copy / "soft_labels" / DONE)["weights"].values()) == {1.0}


@pytest.mark.parametrize("which", samples.PATTERNS)
def test_soft_labels_without_a_members_scores_are_an_error(
    config_for: Configure, run_copy: Path, which: str
) -> None:
    """The ensemble must never silently shrink."""
    session = open_session(config_for(out=run_copy))
    (run_copy / "members" / f"g0-{which}-r0" / "logits" / "part-00001.parquet").unlink()
    (run_copy / "soft_labels" / DONE).unlink()
    with pytest.raises(PetError, match=f"g0-{which}-r0"):
        write_soft_labels(session, named(session), planned(session).first)


def test_soft_labels_are_of_the_unlabeled_rows_after_the_shards_have_changed(
    config_for: Configure, run_copy: Path
) -> None:
    """Shards of an earlier, finer cut lie beside the new ones; they must not be read."""
    label_pool(config_for(out=run_copy, shard_rows=30))
    ids = [i for p in sorted((run_copy / "soft_labels").glob("part-*")) for i in read_logits(p)[0]]
    assert len(ids) == len(set(ids)) == 37
