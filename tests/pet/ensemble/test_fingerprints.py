"""Fingerprints of members: what shapes a member makes it anew, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.inputs.reading import open_session
from tests.support import samples
from tests.support.lineups import fingerprints

Configure = Callable[..., Any]


def test_every_member_of_a_run_has_a_name_of_its_own(config_for: Configure) -> None:
    session = open_session(config_for(repetitions=3, calibration="none"))
    assert len(set(fingerprints(session).values())) == 9


def test_a_member_does_not_know_the_other_patterns(config_for: Configure, tmp_path: Path) -> None:
    """Adding a pattern to a task must not train the others again."""
    before = fingerprints(open_session(config_for(calibration="none")))
    task = tmp_path / "other.toml"
    task.write_text(samples.task_toml(["last", "category"]))
    after = fingerprints(open_session(config_for(calibration="none", task=str(task))))
    assert after == {name: before[name] for name in ("g0-last-r0", "g0-category-r0")}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"member": {"steps": 3, "batch_size": 4}},
        {"max_length": 40},
        {"labeled": "test.csv"},
        {"model": "roberta"},
    ],
)
def test_what_shapes_a_member_changes_its_name(
    config_for: Configure, inputs_folder: Path, model_folder: Any, change: dict[str, Any]
) -> None:
    if "labeled" in change:
        change = {"labeled": str(inputs_folder / change["labeled"]), "test": None}
    if "model" in change:
        change = {"model": str(model_folder(change["model"]))}
    before = fingerprints(open_session(config_for(calibration="none")))
    after = fingerprints(open_session(config_for(calibration="none", **change)))
    assert not set(before.values()) & set(after.values())


@pytest.mark.parametrize(
    "change",
    [
        {"student": {"steps": 9}},
        {"temperature": 3.0},
        {"abstain_below": 0.9},
        {"shard_rows": 7},
        {"weights": "uniform"},
        {"test": None},
    ],
)
def test_what_does_not_shape_a_member_leaves_its_name(
    config_for: Configure, change: dict[str, Any]
) -> None:
    before = fingerprints(open_session(config_for(calibration="none")))
    assert fingerprints(open_session(config_for(calibration="none", **change))) == before
