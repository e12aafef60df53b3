"""Commands on folders and with options of former versions."""

from __future__ import annotations

import json
from pathlib import Path

from pet.config import RunConfig
from pet.storage.files import read_record, write_json
from tests.flows.conftest import Pet


def test_a_run_folder_of_a_former_version_is_used_without_a_word(pet: Pet, run_copy: Path) -> None:
    path = run_copy / "config.json"
    path.write_text(json.dumps(RunConfig.former.put_back(json.loads(path.read_text()))))
    manifest = read_record(run_copy / "manifest.json")
    del manifest["files"]  # as it was in former versions
    write_json(run_copy / "manifest.json", manifest)
    for command in (
        ("runs", "--under", run_copy.parent),
        ("runs", "show", run_copy),
        ("predict", run_copy, "the team won"),
    ):
        result = pet(*command)
        assert result.exit_code == 0, result.output
        assert "gone" not in result.output


def test_a_command_says_once_what_is_gone(pet: Pet, inputs_folder: Path) -> None:
    labeled = inputs_folder / "labeled.csv"
    command = ("check", inputs_folder / "task.toml", "--labeled", labeled)
    result = pet(*command, "--set", "growth_goal=1000")
    assert result.exit_code == 0, result.output
    assert result.output.count("warning: setting growth_goal (1000) is gone") == 1
    result = pet(*command, "--set", "growth_goal=10")
    assert result.exit_code == 2, result.output
    assert "expected: 1000, or nothing: the setting is gone" in result.output


def test_an_old_run_command_goes_on_with_a_warning(pet: Pet, run_copy: Path) -> None:
    """All that is reused: the command of old, with a setting that is gone."""
    config = json.loads((run_copy / "config.json").read_text())
    options = [
        f"--set={name}={json.dumps(config[name])}"
        for name in ("device", "max_length", "shard_rows", "tokens_per_batch", "abstain_below",
                     "generations", "train_from", "out_of_bag", "cross_fitting_folds",
                     "member", "student", "supervised")
    ]  # fmt: skip
    paths = [f"--{name}={config[name]}" for name in ("labeled", "pool", "test", "model")]
    made = (run_copy / "student" / "done.json").read_bytes()
    options += ["--plain", "--set=judge_lines=4"]
    result = pet("run", config["task"], *paths, f"--out={run_copy}", *options)
    assert result.exit_code == 0, result.output
    assert result.output.count("warning: setting judge_lines (4) is gone") == 1
    assert (run_copy / "student" / "done.json").read_bytes() == made


def test_nights_of_an_old_file_say_what_a_setting_is_called_now(pet: Pet, tmp_path: Path) -> None:
    path = tmp_path / "n.toml"
    path.write_text('run = "gone"\npool = "."\nout = "store"\nvoice = "student"\n')
    result = pet("nightly", path)
    assert result.output.count("warning: setting voice is called predictor now") == 1
    assert result.exit_code == 2, "there is no run"
