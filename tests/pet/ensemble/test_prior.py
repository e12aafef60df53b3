"""Shares that a task file states: the pool is given these, and later members depend on them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pet.method.cross_fitting import unsoften
from pet.pipeline import label_pool
from pet.storage.files import read_record
from pet.storage.units import DONE
from tests.support import samples
from tests.support.run_files import scores_in

PRIOR = "\n[prior]\nsport = 0.6\nspace = 0.3\nbusiness = 0.1\n"


@pytest.mark.parametrize("calibration", ["half-matched", "none"])
def test_the_pool_has_the_shares_that_the_task_states(
    own_inputs: Path, model_folder: Callable[[str], Path], tmp_path: Path, calibration: str
) -> None:
    (own_inputs / "task.toml").write_text(samples.task_toml() + PRIOR, encoding="utf-8")
    out = tmp_path / "stated"
    config = samples.tiny_config(
        own_inputs, model_folder("bert"), out, generations=1, calibration=calibration
    )
    report = label_pool(config)
    found = unsoften(scores_in(out / "soft_labels"), config.temperature).mean(axis=0)
    np.testing.assert_allclose(found, (0.6, 0.3, 0.1), atol=1e-3)
    assert report["prior"] == {"sport": 0.6, "space": 0.3, "business": 0.1}
    assert "stated share" in (out / "report.html").read_text(encoding="utf-8")


def test_other_shares_make_later_members_anew_and_the_same_ones_do_not(
    own_inputs: Path, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    task, out = own_inputs / "task.toml", tmp_path / "run"
    made = []
    for prior in (PRIOR, PRIOR, PRIOR.replace("0.3", "0.2").replace("0.1", "0.2")):
        task.write_text(samples.task_toml() + prior, encoding="utf-8")
        config = samples.tiny_config(own_inputs, model_folder("bert"), out, generations=1)
        label_pool(config, update=True)
        names = ("members/g0-last-r0", "members/g1-last-r0", "soft_labels")
        made.append([read_record(out / name / DONE)["fingerprint"] for name in names])
    assert made[0] == made[1]
    assert not set(made[1]) & set(made[2])
