"""The `pet run` command that repeats a run, with another labeled set, into another folder."""

from __future__ import annotations

import itertools
import json
import shlex
from pathlib import Path

from pet.config import RunConfig
from pet.past_runs import show_run

OPTIONS = (
    "labeled", "pool", "test", "model", "student_model", "encoder", "label_column", "text_column",
    "preset",
)  # fmt: skip


def run_command(folder: Path, config: RunConfig, labeled: str) -> str:
    """Spell the command for a shell: the settings of the run in `folder`, but this labeled set."""
    task = config.task
    if task.endswith(".toml") and not Path(task).exists():
        task = str(folder / "task.toml")
    values = {**config.model_dump(), "labeled": labeled}
    words = ["pet", "run", task]
    for name in OPTIONS:
        if values[name] != RunConfig.model_fields[name].default:
            words += [f"--{name.replace('_', '-')}", str(values[name])]
    words += ["--out", str(_free_folder(folder))]
    for name, value in show_run(folder)["changed"].items():
        if name not in OPTIONS:
            words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _free_folder(folder: Path) -> Path:
    paths = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    return next(path for path in paths if not path.exists())
