"""The command to run next says what the run was made with."""

from __future__ import annotations

import shlex
from pathlib import Path

from typer.testing import CliRunner

from flows import cli
from pet.reviewing.reviewed import next_command
from pet.settings import load_config
from tests import samples


def test_the_command_repeats_the_run_with_the_new_labeled_set(
    run_copy: Path, tmp_path: Path
) -> None:
    labeled = samples.write_csv(
        tmp_path / "my labels.csv", samples.labeled_rows(), ("text", "label")
    )
    before = load_config(run_copy / "config.json")
    words = shlex.split(next_command(run_copy, before, str(labeled)))
    assert words[:2] == ["pet", "run"]
    done = CliRunner().invoke(cli.app, [*words[1:], "--plain"])
    assert done.exit_code == 0, done.output
    after = load_config(run_copy.with_name("news-2") / "config.json")
    own = {"labeled": str(labeled), "out": str(run_copy.with_name("news-2"))}
    assert after == before.model_copy(update=own)


def test_a_task_file_that_is_gone_is_taken_from_the_run(run_copy: Path) -> None:
    config = load_config(run_copy / "config.json")
    gone = config.model_copy(update={"task": "gone.toml"})
    assert shlex.split(next_command(run_copy, gone, "l.csv"))[2] == str(run_copy / "task.toml")
