"""A run as a user starts it, killed with no warning; Prefect goes on with it to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ModelFolder
from tests.pet.test_pipeline import results_of
from tests.support import samples

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.faults
@pytest.mark.prefect
def test_prefect_goes_on_with_a_run_that_was_killed_to_the_same_bytes(
    tiny_run: Path, inputs_folder: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    out = tmp_path / "news"
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env = {**own, "XDG_STATE_HOME": str(tmp_path / "state")}

    def start(*more: str) -> subprocess.Popen[str]:
        words = samples.tiny_command(inputs_folder, model_folder("bert"), out, *more)
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *words],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )

    killed = start("--plain")
    while not list(out.glob("members/g0-*/done.json")) and killed.poll() is None:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    _, said = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, said
    assert not (out / "report.json").exists()
    going_on = start()
    _, said = going_on.communicate(timeout=240)
    assert going_on.returncode == 0, said
    assert "Traceback" not in said
    assert "of 3 reused, up to date" in said
    assert (tmp_path / "state" / "pet" / "prefect" / "prefect.db").exists()
    assert results_of(out) == results_of(tiny_run)
    assert not list(out.rglob(".pet-tmp-*"))
