"""The inputs of runs that are looked at, not made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.config import RunConfig
from pet.inputs.inputs import Inputs
from pet.inputs.run_tables import read_tables


@pytest.fixture
def inputs_of(inputs_folder: Path, tmp_path: Path) -> Callable[..., Inputs]:
    """The inputs of a run of these settings, else at their defaults; no model is there."""

    def make(**settings: Any) -> Inputs:
        paths = {name: str(inputs_folder / f"{name}.csv") for name in ("labeled", "test")}
        task, pool = inputs_folder / "task.toml", inputs_folder / "pool.parquet"
        given = {"task": str(task), "pool": str(pool), "model": "m", "out": str(tmp_path / "out")}
        tables = read_tables(RunConfig(**{**paths, **given, **settings}), [])
        config = RunConfig(**{**paths, **given, **settings})
        return Inputs(config, tables.task, tables.labeled, tables.test, tables.pool, {})

    return make
