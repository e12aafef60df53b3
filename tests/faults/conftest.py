"""What the tests of faults start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ModelFolder
from tests.faults.scenarios import Samples


@pytest.fixture(scope="session")
def starting(inputs_folder: Path, model_folder: ModelFolder, tiny_run: Path) -> Samples:
    """Inputs, a tiny model and a finished run; not to be changed."""
    return Samples(inputs_folder, model_folder("bert"), tiny_run)
