"""Settings: presets under what the user says, and every problem at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest

from pet.config import PRESETS, RunConfig, TrainingConfig, load_config, make_config
from pet.errors import InputError
from pet.runs import write_json

NEEDED = {"task": "t.toml", "labeled": "l.csv", "pool": "p.parquet", "out": "o", "model": "m"}


def config(*settings: str, **values: Any) -> RunConfig:
    return make_config({**NEEDED, **values}, settings)


def problems_of(*settings: str, **values: Any) -> list[str]:
    with pytest.raises(InputError, match="expected:") as caught:
        config(*settings, **values)
    return [problem.where for problem in caught.value.problems]


def test_options_that_were_not_given_keep_their_defaults() -> None:
    assert config(test=None, seed=None) == RunConfig(**NEEDED)


def test_the_paper_preset_is_the_papers_table_5() -> None:
    paper = config(preset="paper")
    assert (paper.repetitions, paper.max_length, paper.temperature) == (3, 256, 2.0)
    assert (paper.lm_weight, paper.generations, paper.calibration) == (1e-4, "paper", "none")
    assert paper.first_rows == 10
    # Members with the language-model loss: 4 labeled and 12 unlabeled rows a step.
    for training, steps, size in (
        (paper.member, 1000, 4), (paper.student, 5000, 16), (paper.supervised, 250, 16),
    ):  # fmt: skip
        assert (training.steps, training.batch_size) == (steps, size)
        assert (training.learning_rate, training.dropout) == (1e-5, None)
        assert (training.weight_decay, training.max_grad_norm) == (0.01, 1.0)
        assert (training.adam_epsilon, training.warmup) == (1e-8, 0.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_loads_and_each_of_its_settings_holds(preset: str) -> None:
    made = config(preset=preset).model_dump()
    for key, value in PRESETS[preset].items():
        for name, inner in value.items() if isinstance(value, dict) else ():
            assert made[key][name] == inner
        if not isinstance(value, dict):
            assert made[key] == value


def test_what_the_user_says_stands_above_the_preset() -> None:
    made = config("member.steps=7", "max_length=64", preset="paper")
    assert (made.member.steps, made.max_length) == (7, 64)
    assert made.member.learning_rate == 1e-5
    assert made.student.steps == 5000


def test_a_group_that_is_given_in_part_keeps_its_own_defaults() -> None:
    """`student.steps=10` must not fall back to a member's batch size."""
    made = config(student={"steps": 10})
    default = RunConfig.model_fields["student"].default
    assert made.student == default.model_copy(update={"steps": 10})
    assert made.student.batch_size != TrainingConfig().batch_size


@pytest.mark.parametrize(
    ("setting", "value"),
    [("seed=7", 7), ("seed = 7", 7), ("label_column=a=b", "a=b"), ("text_column=null", None),
     ('keep_columns=["a","b"]', ("a", "b")), ("device=cuda:1", "cuda:1"), ("out=a b", "a b")],
)  # fmt: skip
def test_set_reads_json_and_else_text(setting: str, value: Any) -> None:
    name = setting.partition("=")[0].strip()
    assert getattr(config(setting), name) == value


def test_set_reaches_into_groups() -> None:
    assert config("student.learning_rate=1e-3").student.learning_rate == 1e-3


def test_the_last_of_two_settings_wins() -> None:
    assert config("seed=1", "seed=2").seed == 2


@pytest.mark.parametrize("setting", ["seed", "=5", "", ".=1"])
def test_a_setting_without_key_or_value_is_refused(setting: str) -> None:
    assert problems_of(setting) == [f"--set {setting}"]


def test_a_setting_below_a_plain_value_is_refused() -> None:
    assert problems_of("seed=1", "seed.steps=2") == ["--set seed.steps=2"]


def test_an_unknown_key_is_refused_with_the_list_of_known_ones() -> None:
    with pytest.raises(InputError, match=r"setting member\.stepz") as caught:
        config("member.stepz=3")
    assert "member.steps" in caught.value.problems[0].fix
    assert problems_of("a.b.c=1") == ["setting a.b"]


def test_all_wrong_settings_are_told_at_once() -> None:
    found = problems_of("temperature=0", "nonsense=1", "member.steps=-1", "preset=quick", "seed=x")
    assert sorted(found) == sorted(
        ["setting temperature", "setting nonsense", "setting member.steps", "setting preset",
         "setting seed"]
    )  # fmt: skip


@pytest.mark.parametrize(
    "setting",
    ["max_rejected=1.1", "abstain_below=-0.1", "max_length=7", "tokens_per_batch=1",
     "member.learning_rate=0", "student.learning_rate=NaN", "member.dropout=1", "student=5",
     "repetitions=0", "label_with=both", "shard_rows=0"],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused(setting: str) -> None:
    assert problems_of(setting) == [f"setting {setting.partition('=')[0]}"]


def test_a_preset_that_is_no_text_is_refused() -> None:
    assert problems_of('preset=["fast"]') == ["setting preset"]


def test_a_setting_of_digits_is_text_where_text_is_wanted() -> None:
    assert config("label_column=2020").label_column == "2020"


def test_settings_do_not_change_what_was_passed_in() -> None:
    values = {**NEEDED, "member": {"steps": 3}}
    make_config(values, ("member.steps=5",))
    assert values["member"] == {"steps": 3}


def test_an_infinite_temperature_is_refused() -> None:
    assert problems_of("temperature=Infinity") == ["setting temperature"]


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config().seed = 1  # type: ignore[misc]


def test_a_configuration_survives_its_file(tmp_path: Path) -> None:
    made = config("student.steps=5", 'keep_columns=["a"]', preset="paper", test="t.csv")
    write_json(tmp_path / "config.json", made.model_dump(mode="json"))
    assert load_config(tmp_path / "config.json") == made


def test_a_folder_without_a_configuration_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a run folder with config\.json"):
        load_config(tmp_path / "config.json")


@pytest.mark.parametrize("text", ["", "{", '{"task": "t"}', '{"unknown": 1}'])
def test_a_broken_configuration_says_to_start_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match="settings that this version knows"):
        load_config(tmp_path / "config.json")


def test_an_adapters_learning_rate_is_not_the_one_that_a_preset_has_for_all_weights() -> None:
    """1e-5 would leave a soft prompt where it started."""
    assert config(preset="paper").member.learning_rate == 1e-5
    made = config("member.tuning=lora", preset="paper").member
    assert (made.learning_rate, made.steps) == (None, 1000)
    made = config("member.tuning=lora", "member.learning_rate=0.01", preset="paper").member
    assert made.learning_rate == 0.01


@pytest.mark.parametrize("group", ["student", "supervised", "adaptation"])
def test_a_model_that_is_kept_whole_is_tuned_in_full_or_by_lora(group: str) -> None:
    """A prompt cannot be merged into weights that plain transformers loads."""
    assert getattr(config(f"{group}.tuning=lora"), group).tuning == "lora"
    assert problems_of(f"{group}.tuning=prefix") == [f"setting {group}.tuning"]


def test_a_training_is_shaped_by_the_settings_of_its_own_tuning_only() -> None:
    """Another rank must not train members of full tuning again, nor prompts."""
    full, other = config(), config("lora.rank=4")
    assert full.shape_of(full.member) == other.shape_of(other.member)
    assert "tuning" not in full.shape_of(full.member)
    lora, wider = (config("member.tuning=lora", f"lora.rank={rank}") for rank in (4, 8))
    assert lora.shape_of(lora.member) != wider.shape_of(wider.member)
    longer = config("member.tuning=lora", "lora.rank=4", "prefix.length=9")
    assert longer.shape_of(longer.member) == lora.shape_of(lora.member)


def test_the_settings_of_a_tuning_are_known_by_name() -> None:
    assert config("soft_prompt.length=20").soft_prompt.length == 20
    with pytest.raises(InputError, match=r"did you mean lora\.rank"):
        config("lora.rnk=3")
