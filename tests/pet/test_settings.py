"""Settings as users write them: read, refused, and every problem at once."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from pet.config import CsvConfig
from pet.errors import InputError
from pet.settings import (
    OPTIONS,
    changed_settings,
    load_config,
    make_config,
    read_csv_options,
    run_command,
)
from pet.storage.files import write_json
from tests.support.settings import NEEDED, config, problems_of


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed=7", 7),
        ("seed = 7", 7),
        ("label_column=a=b", "a=b"),
        ("text_column=null", None),
        ('keep_columns=["a","b"]', ("a", "b")),
        ("device=cuda:1", "cuda:1"),
        ("out=a b", "a b"),
    ],
)
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


def test_all_wrong_settings_are_reported_at_once() -> None:
    found = problems_of("temperature=0", "nonsense=1", "member.steps=-1", "preset=quick", "seed=x")
    assert sorted(found) == sorted(
        [
            "setting temperature",
            "setting nonsense",
            "setting member.steps",
            "setting preset",
            "setting seed",
        ]
    )


def test_a_setting_of_digits_is_text_where_text_is_wanted() -> None:
    assert config("label_column=2020").label_column == "2020"


def test_settings_do_not_change_what_was_passed_in() -> None:
    values = {**NEEDED, "member": {"steps": 3}}
    make_config(values, ("member.steps=5",))
    assert values["member"] == {"steps": 3}


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


def test_the_settings_of_a_tuning_are_known_by_name() -> None:
    assert config("soft_prompt.length=20").soft_prompt.length == 20
    with pytest.raises(InputError, match=r"did you mean lora\.rank"):
        config("lora.rnk=3")


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ("lora.dropuot=0.1", "lora.dropuot"),
        ("projector.steps=-1", "projector.steps"),
        ("prefix.length=0", "prefix.length"),
        ("soft_prompt.bogus=1", "soft_prompt.bogus"),
    ],
)
def test_a_wrong_setting_of_an_adapter_is_named_whole(given: str, where: str) -> None:
    with pytest.raises(InputError, match=f"^setting {where}\n"):
        make_config(NEEDED, (given,))


QUOTED = {"task": "a task.toml", "pool": "p/x y.parquet", "out": "runs/it's", "model": "bert"}
GIVEN: list[dict[str, Any]] = [
    {},
    {"labeled": "ten.csv", "test": "t.csv", "encoder": "minilm", "preset": "paper"},
    {"seed": 7, "member": {"steps": 0}, "keep_columns": ["a", "b c"], "generations": 2},
    {"preset": "paper", "generations": 0, "lm_weight": 0.0, "student": {"dropout": 0.1}},
    {"id_column": None, "pool_csv": {"delimiter": "\t", "quote": "", "escape": "\\"}},
    {"unlabeled_rows": 10, "id_column": "key", "warmup": 0.2, "drawn_labels": "hard"},
]


@pytest.mark.parametrize("given", GIVEN)
def test_the_command_makes_the_same_configuration(given: dict[str, Any]) -> None:
    config = make_config({**QUOTED, **given})
    words = shlex.split(" ".join(run_command(config)))
    assert words[:3] == ["pet", "run", "a task.toml"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    settings = tuple(
        value for name, value in zip(words[3::2], words[4::2], strict=True) if name == "--set"
    )
    values = {name: options.get(f"--{name.replace('_', '-')}") for name in OPTIONS}
    assert make_config({"task": words[2], **values}, settings) == config


def test_only_what_is_unlike_the_preset_is_a_changed_setting() -> None:
    config = make_config({**QUOTED, "preset": "paper", "student": {"steps": 7}})
    assert changed_settings(config) == {"student.steps": 7}


def test_how_csv_files_are_written_is_set_for_each_role() -> None:
    given = (
        r"pool_csv.delimiter=\t",
        r"pool_csv.escape=\ ".strip(),
        "labeled_csv.quote=",
    )
    config = make_config(NEEDED, given)
    assert config.pool_csv.stated == {"delimiter": "\t", "escape": "\\"}
    assert config.labeled_csv.stated == {"quote": ""}
    for wrong in (
        "pool_csv.delimiter=",
        "pool_csv.quote=ab",
        "pool_csv.encoding=base64",
        "pool_csv.x=1",
    ):
        assert problems_of(wrong) == [f"setting {wrong.partition('=')[0]}"]


def test_commands_of_a_run_take_the_same_as_one_option() -> None:
    assert read_csv_options([]) is None
    assert read_csv_options(["delimiter=;", "quote="]) == CsvConfig(delimiter=";", quote="")
    with pytest.raises(InputError, match="--csv encoding") as caught:
        read_csv_options(["encoding=klingon", "separator=;"])
    assert len(caught.value.problems) == 2
