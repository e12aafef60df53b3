"""Settings of former versions: in old runs, in --set, in nightly files and in Python."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic
import pytest

from pet.config import REMOVED, RunConfig
from pet.errors import InputError
from pet.former_settings import FormerSettings, Removed
from pet.nightly.nightly_config import NightlyConfig, load_nightly_config
from pet.settings import load_config, make_config
from tests.pet.test_estimator import Make, make  # noqa: F401
from tests.support import samples
from tests.support.settings import NEEDED, config, problems_of

NIGHTS = 'run = "r"\npool = "p"\nout = "o"\n'


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two settings that had another name in a former version."""
    names = {"abstain_under": "abstain_below", "member.rate": "member.learning_rate"}
    monkeypatch.setattr(RunConfig, "former", replace(RunConfig.former, renamed=names))


def given(*settings: str, **values: Any) -> tuple[RunConfig, list[str]]:
    """Make a configuration; return what was noted, too."""
    notes: list[str] = []
    return make_config({**NEEDED, **values}, settings, note=notes.append), notes


def former_file(folder: Path, **changes: Any) -> Path:
    """Write the `config.json` of a run before settings were removed."""
    data = RunConfig.former.put_back(config().model_dump(mode="json"))
    (folder / "config.json").write_text(json.dumps(data | changes))
    return folder / "config.json"


# In the command.


@pytest.mark.parametrize("name", REMOVED)
def test_a_command_with_a_removed_setting_as_it_was_by_default_still_runs(name: str) -> None:
    made, notes = given(f"{name}={json.dumps(REMOVED[name].default)}")
    assert made == config()
    [line] = notes
    assert line.startswith(f"setting {name} (")
    assert "is gone" in line


@pytest.mark.parametrize("name", REMOVED)
def test_a_removed_setting_of_another_value_is_not_taken_where_it_would_do_nothing(
    name: str,
) -> None:
    with pytest.raises(InputError) as caught:
        config(f"{name}=3")
    [problem] = caught.value.problems
    assert problem.where == f"setting {name}"
    default = REMOVED[name].default
    wanted = "nothing" if default is None else f"{default!r}, or nothing"
    assert problem.expected == f"{wanted}: the setting is gone"
    assert (problem.found, problem.fix) == ("3", REMOVED[name].fix)


def test_a_removed_setting_does_not_hide_what_else_is_wrong() -> None:
    assert sorted(problems_of("judge_lines=2", "seed=x", "member.weight_decay=1")) == [
        "setting judge_lines",
        "setting member.weight_decay",
        "setting seed",
    ]


@pytest.mark.usefixtures("renamed")
def test_a_command_with_a_former_name_sets_what_it_is_called_today() -> None:
    made, notes = given("abstain_under=0.25", "member.rate=0.5")
    assert (made.abstain_below, made.member.learning_rate) == (0.25, 0.5)
    assert notes == [
        "setting abstain_under is called abstain_below now; "
        "setting member.rate is called member.learning_rate now"
    ]


@pytest.mark.usefixtures("renamed")
def test_a_former_name_stands_above_a_preset() -> None:
    """The preset's own value must not be taken for the user's."""
    assert given("member.rate=0.5", preset="paper")[0].member.learning_rate == 0.5


@pytest.mark.usefixtures("renamed")
def test_of_two_names_of_one_setting_none_is_chosen() -> None:
    with pytest.raises(InputError, match="abstain_below alone"):
        config("abstain_under=0.25", "abstain_below=0.5")


@pytest.mark.usefixtures("renamed")
def test_a_wrong_value_under_a_former_name_is_reported_under_todays() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert problems_of("abstain_under=2") == ["setting abstain_below"]


# In the file of an old run.


def test_the_file_of_an_old_run_is_read_without_a_word(tmp_path: Path) -> None:
    """It has every setting that there was, at what it was."""
    assert load_config(former_file(tmp_path)) == config()
    assert load_config(former_file(tmp_path), to_train=True) == config()


@pytest.mark.usefixtures("renamed")
def test_the_file_of_an_old_run_may_have_former_names(tmp_path: Path) -> None:
    path = former_file(tmp_path)
    data = json.loads(path.read_text())
    del data["abstain_below"]
    path.write_text(json.dumps({**data, "abstain_under": 0.25}))
    assert load_config(path).abstain_below == 0.25


def test_a_run_that_was_made_with_a_removed_setting_can_be_used_but_not_repeated(
    tmp_path: Path,
) -> None:
    path = former_file(tmp_path, judge_lines=2)
    with pytest.warns(FutureWarning, match="was made with judge_lines=2"):
        assert load_config(path) == config()
    with pytest.raises(InputError, match="judge_lines") as caught:
        load_config(path, to_train=True)
    assert "out_of_bag=0" in caught.value.problems[0].fix


@pytest.mark.parametrize(
    ("changes", "made"),
    [
        (
            {"member": {"warmup": 0.0}, "student": {"warmup": 0.0}, "supervised": {"warmup": 0.0}},
            {"warmup": 0.0},
        ),
        (
            {"student": {"tuning": "lora"}, "supervised": {"tuning": "lora"}},
            {"student": {"tuning": "lora"}},
        ),
        (
            {"labeled_csv": {"delimiter": ";"}, "test_csv": {"delimiter": ";"}},
            {"labeled_csv": {"delimiter": ";"}},
        ),
        (
            {"labeled_csv": {"delimiter": ";"}, "test_csv": {"delimiter": None}},
            {"labeled_csv": {"delimiter": ";"}},
        ),
    ],
)
def test_settings_that_are_one_now_are_read_where_they_said_the_same(
    tmp_path: Path, changes: dict[str, Any], made: dict[str, Any]
) -> None:
    path = former_file(tmp_path)
    data = json.loads(path.read_text())
    for group, values in changes.items():
        data[group] |= values
    path.write_text(json.dumps(data))
    assert load_config(path) == load_config(path, to_train=True) == config(**made)


def test_settings_that_are_one_now_are_not_read_where_they_said_different_things(
    tmp_path: Path,
) -> None:
    path = former_file(tmp_path)
    data = json.loads(path.read_text())
    data["student"]["warmup"] = 0.5
    path.write_text(json.dumps(data))
    with pytest.warns(FutureWarning, match=r"was made with student\.warmup=0\.5"):
        assert load_config(path) == config()
    with pytest.raises(InputError, match=r"student\.warmup") as caught:
        load_config(path, to_train=True)
    assert "set warmup" in caught.value.problems[0].fix


def test_a_command_may_set_what_is_one_setting_now_by_its_former_names() -> None:
    names = ("member.warmup", "student.warmup", "supervised.warmup")
    made, notes = given(*(f"{name}=0" for name in names))
    assert made == config(warmup=0.0)
    assert notes == [f"settings {', '.join(names)} are one now: warmup"]
    with pytest.raises(InputError, match=r"setting student\.warmup"):
        given(*(f"{name}=0" for name in names), "warmup=0.2")


def test_a_revision_is_written_behind_the_hub_id_now(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        config("model_revision=v1")
    [problem] = caught.value.problems
    assert problem.expected == "nothing: the setting is gone"
    assert problem.fix == "write it behind the hub id: --model ID@REVISION"


def test_what_is_left_of_a_group_that_is_gone_is_refused_by_its_name() -> None:
    assert sorted(problems_of("adaptation.batch_size=4", "adaptation.nonsense=1")) == [
        "setting adaptation.batch_size",
        "setting adaptation.nonsense",
    ]


def test_what_is_no_setting_of_any_version_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run it again into a new folder"):
        load_config(former_file(tmp_path, nonsense=1))


# In a file of nights.


def test_a_file_of_nights_with_a_former_name_labels_as_it_did(tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NIGHTS + 'voice = "ensemble"\n')
    notes: list[str] = []
    assert load_nightly_config(tmp_path / "n.toml", notes.append).predictor == "ensemble"
    assert notes == ["setting voice is called predictor now"]


def test_a_served_deployment_with_a_former_name_goes_on() -> None:
    """Its parameters were stored by the version that served it."""
    with pytest.warns(FutureWarning, match="called predictor now"):
        made = NightlyConfig.model_validate(
            {"run": "r", "pool": "p", "out": "o", "voice": "ensemble"}
        )
    assert made.predictor == "ensemble"


def test_of_two_names_in_a_file_of_nights_none_is_chosen(tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text(NIGHTS + 'voice = "ensemble"\npredictor = "student"\n')
    with pytest.raises(InputError, match=r"n\.toml, setting voice(.|\n)*predictor alone"):
        load_nightly_config(tmp_path / "n.toml")


def test_a_removed_setting_of_nights_is_taken_as_it_was_by_default_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = FormerSettings(removed={"patience": Removed(3), "drift.bins": Removed(20)})
    monkeypatch.setattr(NightlyConfig, "former", former)
    path = tmp_path / "n.toml"
    path.write_text(NIGHTS + "patience = 3\n[drift]\nbins = 20\n")
    notes: list[str] = []
    load_nightly_config(path, notes.append)
    assert notes == ["settings patience (3), drift.bins (20) are gone: leave them out"]
    path.write_text(NIGHTS + "patience = 3\n[drift]\nbins = 30\n")
    with pytest.raises(InputError, match=r"setting drift\.bins\n  expected: 20, or nothing"):
        load_nightly_config(path, notes.append)


# In Python.


def test_python_code_with_a_removed_setting_is_warned_once() -> None:
    values = {**NEEDED, "member": {"weight_decay": 0.01, "steps": 3}}
    with pytest.warns(FutureWarning) as caught:
        made = make_config(values, ("most_likely=100",))
    assert made == config(member={"steps": 3})
    [warning] = caught
    assert "most_likely (100), member.weight_decay (0.01) are gone" in str(warning.message)


def test_a_configuration_made_by_hand_may_have_former_settings() -> None:
    given = {**NEEDED, "judge_lines": 4}
    with pytest.warns(FutureWarning, match="judge_lines") as caught:
        assert RunConfig(**given) == config()
    assert caught[0].filename == __file__, "the warning points at another line than the caller's"
    assert given["judge_lines"] == 4, "what was given was changed"
    with pytest.raises(pydantic.ValidationError, match="judge_lines"):
        RunConfig(**{**NEEDED, "judge_lines": 5})


@pytest.mark.usefixtures("renamed")
def test_a_configuration_made_by_hand_may_have_former_names() -> None:
    with pytest.warns(FutureWarning, match="called abstain_below now"):
        assert RunConfig(**{**NEEDED, "abstain_under": 0.25}).abstain_below == 0.25


def test_a_classifier_of_an_old_script_still_fits(make: Make) -> None:  # noqa: F811
    x, y = map(list, zip(*samples.labeled_rows(), strict=True))
    classifier = make(settings={**make().settings, "lora": {"alpha": 16}, "most_likely": 100})
    with pytest.warns(FutureWarning, match=r"most_likely \(100\), lora.alpha \(16\) are gone"):
        classifier.fit(x, y, pool=["the team won", "a rocket"])
    classifier = make(settings={"lora.alpha": 32})
    with pytest.raises(InputError, match=r"setting lora\.alpha"):
        classifier.fit(x, y, pool=["the team won", "a rocket"])
