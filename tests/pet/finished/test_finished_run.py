"""Finished runs: what cannot be opened."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.finished.finished_run import open_run
from pet.finished.inference import predict_texts
from pet.storage.units import DONE

Open = Callable[[Path], Any]
OPENERS: list[Open] = [open_run, lambda run: predict_texts(run, ["x"])]


@pytest.mark.parametrize("opener", OPENERS)
def test_a_run_that_has_not_ended_cannot_be_used(run_copy: Path, opener: Open) -> None:
    (run_copy / "student" / DONE).unlink()
    with pytest.raises(InputError, match=f"no readable {DONE}"):
        opener(run_copy)
    shutil.rmtree(run_copy / "student")
    with pytest.raises(InputError, match="a run that has not ended") as caught:
        opener(run_copy)
    assert "goes on where it was" in str(caught.value)


@pytest.mark.parametrize("opener", OPENERS)
def test_a_folder_that_is_no_run_cannot_be_used(tmp_path: Path, opener: Open) -> None:
    with pytest.raises(InputError, match=r"a run folder with config\.json"):
        opener(tmp_path)
