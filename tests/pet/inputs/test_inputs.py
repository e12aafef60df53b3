"""What a run starts from, named by content."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pet.inputs.reading import open_session
from tests.conftest import ModelFolder
from tests.support import samples

Configure = Callable[..., Any]


def test_a_run_has_one_name_wherever_its_encoder_and_its_start_lie(
    config_for: Configure, adapted_runs: dict[str, Path], model_folder: ModelFolder, tmp_path: Path
) -> None:
    """The same run, made again on another machine, would pass for another one."""
    encoder = shutil.copytree(model_folder("bert"), tmp_path / "encoder")
    start = shutil.copytree(adapted_runs["lora"], tmp_path / "moved")
    settings = samples.adapted("lora", encoder=str(model_folder("bert")))
    here = open_session(config_for(**settings, init_from=str(adapted_runs["lora"])))
    settings["encoder"] = str(encoder)
    assert (
        open_session(config_for(**settings, init_from=str(start))).inputs.run_id
        == here.inputs.run_id
    )
    names = {open_session(config_for(**settings)).inputs.run_id, here.inputs.run_id}
    settings["encoder"] = str(model_folder("roberta"))
    names.add(open_session(config_for(**settings, init_from=str(start))).inputs.run_id)
    assert len(names) == 3
