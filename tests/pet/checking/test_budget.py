"""Settings that are chosen for a time: once, and never against the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pet.checking import budget as budgets
from pet.checking.budget import Choice, choose, settle
from pet.checking.rates import Rates
from pet.config import PRESETS, Budget, RunConfig, seconds_of
from pet.errors import InputError
from pet.inputs.inputs import Inputs
from pet.inputs.run_tables import read_tables
from pet.pipeline import label_pool
from pet.settings import read_budget
from pet.storage.files import read_record
from tests.support import samples

FAST = Rates(
    tokenized=0.0,
    scored=1e-3,
    together=1e-3,
    member_step=0.05,
    student_scored=1e-3,
    student_step=0.1,
    encoded=0.0,
    loaded=0.1,
    student_loaded=0.1,
    teacher_bytes=10**7,
    student_bytes=10**7,
)
ROWS = 50_000  # of the pool


@pytest.fixture
def inputs_of(inputs_folder: Path, tmp_path: Path) -> Callable[..., Inputs]:
    """The inputs of a run of these settings, else at their defaults; no model is there."""

    def make(**settings: Any) -> Inputs:
        paths = {name: str(inputs_folder / f"{name}.csv") for name in ("labeled", "test")}
        task, pool = inputs_folder / "task.toml", inputs_folder / "pool.parquet"
        given = {"task": str(task), "pool": str(pool), "model": "m", "out": str(tmp_path / "out")}
        tables = read_tables(RunConfig(**{**paths, **given, **settings}), [])
        config = RunConfig(**{**paths, **given, **settings})
        return Inputs(config, tables.task, tables.labeled, tables.test, tables.pool, {})

    return make


def chosen(inputs: Inputs, time: str, *kept: str) -> Choice:
    return choose(inputs, ROWS, lambda config: FAST, Budget(time=time, kept=kept))


def test_what_fits_is_left_as_it_is(inputs_of: Callable[..., Inputs]) -> None:
    found = chosen(inputs_of(), "10h")
    assert found.settings == {}
    assert found.expected.seconds == found.whole.seconds
    assert "nothing is left out" in found.describe("10h")


@pytest.mark.parametrize("time", ["3m", "5m", "10m", "20m"])
def test_a_run_fits_into_its_time_and_uses_most_of_it(
    inputs_of: Callable[..., Inputs], time: str
) -> None:
    found = chosen(inputs_of(), time)
    planned = budgets.MARGIN * seconds_of(time)
    assert 0.5 * planned < found.expected.seconds <= planned < found.whole.seconds
    assert "student.steps=500 (1000)" in chosen(inputs_of(), "10m").describe(time)


def test_more_time_never_leaves_out_more(inputs_of: Callable[..., Inputs]) -> None:
    sizes = [chosen(inputs_of(), f"{m}m").expected.seconds for m in (3, 5, 8, 13, 21, 34)]
    assert sizes == sorted(sizes)


def test_settings_of_the_user_are_kept(inputs_of: Callable[..., Inputs]) -> None:
    """Those that differ from the preset's, and those that are named beside them."""
    inputs = inputs_of(unlabeled_rows=8000)
    found = chosen(inputs, "10m", "student.steps")
    assert not {"unlabeled_rows", "student.steps"} & set(found.settings)
    assert found.settings["generations"] < found.before["generations"]


def test_a_time_too_short_names_the_least_there_is(inputs_of: Callable[..., Inputs]) -> None:
    with pytest.raises(InputError) as caught:
        chosen(inputs_of(), "1s")
    (problem,) = caught.value.problems
    assert problem.where == "--budget"
    assert "at least 2m" in problem.expected
    assert "generations=0" in problem.expected
    assert chosen(inputs_of(), "2m").settings, "what is advised is enough"


def test_published_settings_are_not_changed(inputs_of: Callable[..., Inputs]) -> None:
    with pytest.raises(InputError, match="paper"):
        chosen(inputs_of(preset="paper"), "10m")


def test_a_large_teacher_gets_the_encoder_as_its_student(
    inputs_of: Callable[..., Inputs],
) -> None:
    slow = replace(FAST, student_step=5.0, student_scored=0.05)

    def measure(config: RunConfig) -> Rates:
        return FAST if config.student_model == "e" else slow

    inputs = inputs_of(encoder="e")
    found = choose(inputs, ROWS, measure, Budget(time="20m"))
    assert found.settings["student_model"] == "e"
    own = inputs_of(encoder="e", student_model="s")
    least = choose(own, ROWS, lambda config: FAST, Budget(time="20m"))
    assert "student_model" not in least.settings


@pytest.mark.parametrize("time", ["0", "0m", "-5m", "10x", "10", "", "m", "5m5m", "1e3s", "nan"])
def test_what_is_no_time_is_refused(time: str) -> None:
    with pytest.raises(InputError, match="such as 90s, 10m, 2h"):
        read_budget(time)


@pytest.mark.parametrize(
    ("time", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), ("5m1s", 301)]
)
def test_times_are_read(time: str, seconds: float) -> None:
    assert read_budget(time).seconds == seconds


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults of a tiny run, of which a budget has something to leave out."""
    tiny = {**samples.TINY, "student": {"steps": 30, "batch_size": 8}, "unlabeled_rows": 30}
    monkeypatch.setitem(PRESETS, "default", tiny)


def config_of(inputs: Path, model: Path, out: Path) -> RunConfig:
    names = {"labeled": "labeled.csv", "pool": "pool.parquet", "test": "test.csv"}
    files = {name: str(inputs / file) for name, file in names.items()}
    return RunConfig(task=str(inputs / "task.toml"), model=str(model), out=str(out), **files)


@pytest.mark.usefixtures("small")
def test_a_run_that_goes_on_takes_the_settings_that_were_chosen(
    inputs_folder: Path, model_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timed again, it might take others, and end with other bytes."""
    out = tmp_path / "run"
    config = config_of(inputs_folder, model_folder("bert"), out)
    slow = replace(FAST, student_step=1.0)
    monkeypatch.setattr(budgets, "measure_rates", lambda *_: slow)
    label_pool(config, budget=Budget(time="45s"))
    assert read_record(out / "config.json")["student"]["steps"] == 20
    assert read_record(out / "manifest.json")["budget"] == {
        "time": "45s", "settings": {"student.steps": 20},
    }  # fmt: skip

    def never(*_: Any) -> Rates:
        raise AssertionError("timed again")

    monkeypatch.setattr(budgets, "measure_rates", never)
    labels = {path.name: path.read_bytes() for path in (out / "labels").iterdir()}
    listener = samples.Listener()
    label_pool(config, observer=listener, budget=Budget(time="45s"))
    assert {path.name: path.read_bytes() for path in (out / "labels").iterdir()} == labels
    assert "student: 1 of 1 reused, up to date" in listener.said
    with pytest.raises(InputError, match="add --update"):
        label_pool(config, budget=Budget(time="10m"))
    monkeypatch.setattr(budgets, "measure_rates", lambda *_: FAST)
    label_pool(config, budget=Budget(time="10m"), update=True)
    assert read_record(out / "config.json")["student"]["steps"] == 30


@pytest.mark.usefixtures("small")
def test_a_time_too_short_leaves_nothing_behind(
    inputs_folder: Path, model_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "measure_rates", lambda *_: FAST)
    config = config_of(inputs_folder, model_folder("bert"), tmp_path / "run")
    with pytest.raises(InputError, match="at least"):
        label_pool(config, budget=Budget(time="1s"))
    assert not (tmp_path / "run").exists()


def test_a_long_run_is_told_how_to_take_less(
    inputs_of: Callable[..., Inputs], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(budgets, "measure_rates", lambda *_: replace(FAST, member_step=10.0))
    monkeypatch.setattr(budgets, "count_weights", lambda ref: 10**9)
    listener = samples.Listener()
    settle(inputs_of(), tmp_path, None, listener, update=False)
    (line,) = listener.said
    assert "hours here: --budget 30m" in line
    assert "--set member.steps=50 alone saves about" in line or "--set generations=0 alone" in line


def test_a_short_run_is_not_timed_first(
    inputs_of: Callable[..., Inputs], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(budgets, "count_weights", lambda ref: 1000)
    listener = samples.Listener()
    settle(inputs_of(), tmp_path, None, listener, update=False)
    assert listener.said == []
