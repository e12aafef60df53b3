"""Finished runs have held-out members and cross-fitting: ensembles are scaled."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_run(shipped_run: Path) -> Path:
    """A finished run with both; not to be changed."""
    return shipped_run
