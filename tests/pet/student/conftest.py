"""Here runs have held-out members and cross-fitting: that is whom a student learns from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support import samples


@pytest.fixture
def config_for(config_for: Callable[..., Any]) -> Callable[..., Any]:
    """Make the configuration of a tiny run: `config_for(seed=7)`."""
    return partial(config_for, **samples.SHIPPED)


@pytest.fixture(scope="session")
def tiny_run(shipped_run: Path) -> Path:
    """A finished run with both; not to be changed."""
    return shipped_run
