"""Configurations of a run that is never begun, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from pet.config import RunConfig
from pet.errors import InputError
from pet.settings import make_config

NEEDED = {"task": "t.toml", "labeled": "l.csv", "pool": "p.parquet", "out": "o", "model": "m"}


def config(*settings: str, **values: Any) -> RunConfig:
    return make_config({**NEEDED, **values}, settings)


def problems_of(*settings: str, **values: Any) -> list[str]:
    with pytest.raises(InputError, match="expected:") as caught:
        config(*settings, **values)
    return [problem.where for problem in caught.value.problems]
