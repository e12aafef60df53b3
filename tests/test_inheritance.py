"""Members that start from the adapters of another run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from pet.errors import InputError
from pet.inheritance import adapters_of, start_of
from pet.inputs import read_inputs
from pet.members import members_of
from pet.pipeline import label_pool
from pet.tasks import load_task
from tests import samples
from tests.conftest import ModelFolder
from tests.test_members import names

Configure = Callable[..., Any]
Runs = dict[str, Path]
SMALL, changes, MEMBERS = samples.ADAPTERS, samples.adapted, samples.MEMBERS
WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize("tuning", ["lora", "prefix", "soft-prompt"])
def test_a_member_goes_on_from_the_adapter_of_its_pattern(
    adapted_runs: Runs, config_for: Configure, tuning: str
) -> None:  # fmt: skip
    """With next to no learning rate, it ends where it began: with the other run's weights."""
    run = adapted_runs[tuning]
    settings = changes(tuning, init_from=str(run), seed=5)
    settings["member"]["learning_rate"] = 1e-12
    config = config_for(**settings)
    label_pool(config)
    for name in MEMBERS:
        before = load_file(run / "members" / name / WEIGHTS)
        after = load_file(Path(config.out) / "members" / name / WEIGHTS)
        assert before.keys() == after.keys()
        for key, value in before.items():
            assert value.sub(after[key]).abs().max() < 1e-4, key


def test_a_pattern_of_another_name_takes_the_adapter_in_its_place(
    adapted_runs: Runs, config_for: Configure, tmp_path: Path
) -> None:  # fmt: skip
    run = adapted_runs["lora"]
    path = tmp_path / "task.toml"
    path.write_text(samples.task_toml().replace("bracket =", "another ="))
    task = load_task(str(path))
    config = config_for(**changes("lora", init_from=str(run)))
    assert [path.name for path in adapters_of(run)] == sorted(MEMBERS)
    assert [start_of(config, task, own.name, 0).name for own in task.patterns] == [
        "g0-category-r0", sorted(MEMBERS)[1], "g0-last-r0",
    ]  # fmt: skip
    assert start_of(config_for(), task, "last", 0) is None


def test_what_a_member_starts_from_belongs_to_its_name(
    adapted_runs: Runs, config_for: Configure
) -> None:  # fmt: skip
    plain = read_inputs(config_for(**changes("lora"), calibration="none"))
    started = read_inputs(
        config_for(**changes("lora", init_from=str(adapted_runs["lora"])), calibration="none")
    )
    assert not set(names(plain).values()) & set(names(started).values())
    assert len(members_of(started)) == 3


@pytest.mark.parametrize(
    ("own", "match"),
    [(changes("prefix"), r"of lora(.|\n)*member\.tuning=lora"), (SMALL, "of lora"),
     (changes("lora", adapt_steps=2), "for another model"),
     (changes("lora", model="roberta"), "for another model")],
)  # fmt: skip
def test_adapters_that_do_not_fit_are_refused_before_a_run_begins(
    adapted_runs: Runs, config_for: Configure, model_folder: ModelFolder,
    own: dict[str, Any], match: str,
) -> None:  # fmt: skip
    own = {**own, "init_from": str(adapted_runs["lora"])}
    if "model" in own:
        own["model"] = str(model_folder(own["model"]))
    config = config_for(**own)
    with pytest.raises(InputError, match=match):
        label_pool(config)
    assert not Path(config.out).exists()


def test_a_run_without_adapters_is_no_start(tiny_run: Path, config_for: Configure) -> None:
    for place in (tiny_run, tiny_run / "nowhere"):
        config = config_for(**changes("lora", init_from=str(place)))
        with pytest.raises(InputError, match=r"a run with adapters \(lora\)(.|\n)*none"):
            label_pool(config)
