"""The command of a configuration: given again, it is the same configuration."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from pet.settings import OPTIONS, changed_settings, make_config, run_command

NEEDED = {"task": "a task.toml", "pool": "p/x y.parquet", "out": "runs/it's", "model": "bert"}
GIVEN: list[dict[str, Any]] = [
    {},
    {"labeled": "ten.csv", "test": "t.csv", "encoder": "minilm", "preset": "paper"},
    {"seed": 7, "member": {"steps": 0}, "keep_columns": ["a", "b c"], "generations": 2},
    {"preset": "paper", "generations": 0, "lm_weight": 0.0, "student": {"dropout": 0.1}},
    {"unlabeled_rows": 10, "id_column": "key", "model_revision": "v1", "drawn_labels": "hard"},
]


@pytest.mark.parametrize("given", GIVEN)
def test_the_command_makes_the_same_configuration(given: dict[str, Any]) -> None:
    config = make_config({**NEEDED, **given})
    words = shlex.split(" ".join(run_command(config)))
    assert words[:3] == ["pet", "run", "a task.toml"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    settings = tuple(
        value for name, value in zip(words[3::2], words[4::2], strict=True) if name == "--set"
    )
    values = {name: options.get(f"--{name.replace('_', '-')}") for name in OPTIONS}
    assert make_config({"task": words[2], **values}, settings) == config


def test_only_what_is_unlike_the_preset_is_a_changed_setting() -> None:
    config = make_config({**NEEDED, "preset": "paper", "student": {"steps": 7}})
    assert changed_settings(config) == {"student.steps": 7}
