"""The `pet run` command that repeats a run, with another labeled set, into another folder."""

from __future__ import annotations

import itertools
from pathlib import Path

from pet.config import RunConfig
from pet.invocation import run_command


def next_command(folder: Path, config: RunConfig, labeled: str) -> str:
    """Spell the command for a shell: the settings of the run in `folder`, but this labeled set."""
    changes = {"labeled": labeled, "out": str(_free_folder(folder))}
    if config.task.endswith(".toml") and not Path(config.task).exists():
        changes["task"] = str(folder / "task.toml")
    return " ".join(run_command(config.model_copy(update=changes)))


def _free_folder(folder: Path) -> Path:
    paths = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(path for path in paths if not path.exists())
