"""A run says first what it takes, and keeps to the settings that were chosen for its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pet.checking import before_run
from pet.checking.before_run import settle
from pet.checking.rates import Rates
from pet.config import PRESETS, Budget, RunConfig
from pet.errors import InputError
from pet.inputs.inputs import Inputs
from pet.pipeline import label_pool
from pet.storage.files import read_record
from tests.support import samples
from tests.support.rates import FAST


@pytest.fixture
def config(
    inputs_folder: Path, model_folder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunConfig:
    """A tiny run, by the defaults, of which a budget has something to leave out."""
    tiny = {**samples.TINY, "student": {"steps": 30, "batch_size": 8}, "unlabeled_rows": 30}
    monkeypatch.setitem(PRESETS, "default", tiny)
    names = {"labeled": "labeled.csv", "pool": "pool.parquet", "test": "test.csv"}
    files = {name: str(inputs_folder / file) for name, file in names.items()}
    return RunConfig(
        task=str(inputs_folder / "task.toml"),
        model=str(model_folder("bert")),
        out=str(tmp_path / "run"),
        **files,
    )


def labels_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "labels").iterdir()}


def test_a_run_that_goes_on_takes_the_settings_that_were_chosen(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timed again, it might take others, and end with other bytes."""
    run = Path(config.out)
    slow = replace(FAST, student_step=1.0)
    monkeypatch.setattr(before_run, "measure_rates", lambda *_: slow)
    label_pool(config, budget=Budget(time="45s"))
    assert read_record(run / "config.json")["student"]["steps"] == 20
    chosen = {"time": "45s", "settings": {"student.steps": 20}}
    assert read_record(run / "manifest.json")["budget"] == chosen

    def never(*_: Any) -> Rates:
        raise AssertionError("timed again")

    monkeypatch.setattr(before_run, "measure_rates", never)
    labels, listener = labels_of(run), samples.Listener()
    label_pool(config, observer=listener, budget=Budget(time="45s"))
    assert labels_of(run) == labels
    assert "student: 1 of 1 reused, up to date" in listener.said


def test_another_time_for_a_run_that_was_begun_needs_update(
    config: RunConfig, inputs_of: Callable[..., Inputs], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(config.out)
    before = {"time": "45s", "settings": {"student.steps": 20, "out": "elsewhere"}}
    monkeypatch.setattr(before_run, "read_record", lambda path: {"budget": before})
    inputs, observer = inputs_of(model=config.model), samples.Listener()
    found, kept = settle(inputs, run, Budget(time="45s"), observer, update=False)
    assert found.config.student.steps == 20
    assert kept["settings"] == {"student.steps": 20}, "nothing else is taken from a manifest"
    own = Budget(time="45s", kept=("student.steps",))
    assert settle(inputs, run, own, observer, update=False)[1]["settings"] == {}
    with pytest.raises(InputError, match="add --update"):
        settle(inputs, run, Budget(time="10h"), observer, update=False)
    monkeypatch.setattr(before_run, "measure_rates", lambda *_: FAST)
    anew = settle(inputs, run, Budget(time="10h"), observer, update=True)[1]
    assert anew == {"time": "10h", "settings": {}}
    assert settle(inputs, run, None, observer, update=False) == (inputs, {})
    assert "begun with --budget 45s" in observer.said[-1]


def test_a_time_too_short_leaves_nothing_behind(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before_run, "measure_rates", lambda *_: FAST)
    with pytest.raises(InputError, match="at least"):
        label_pool(config, budget=Budget(time="1s"))
    assert not Path(config.out).exists()


def test_a_long_run_is_told_how_to_take_less(
    inputs_of: Callable[..., Inputs], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(before_run, "measure_rates", lambda *_: replace(FAST, member_step=10.0))
    monkeypatch.setattr(before_run, "count_weights", lambda ref: 10**9)
    listener = samples.Listener()
    settle(inputs_of(), tmp_path, None, listener, update=False)
    (line,) = listener.said
    assert "hours here: --budget 30m" in line
    assert "--set member.steps=50 alone saves about" in line


def test_a_run_of_seconds_is_not_timed_first(
    inputs_of: Callable[..., Inputs], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(before_run, "count_weights", lambda ref: 1000)
    listener = samples.Listener()
    settle(inputs_of(), tmp_path, None, listener, update=False)
    assert listener.said == []
