"""Adapters of some runs, compared with each other and tried on each other's tasks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.errors import InputError
from pet.finished import transfer
from pet.finished.transfer import MEASURES, measure_transfer
from pet.pipeline import label_pool
from pet.progress import SILENT
from tests.conftest import ModelFolder
from tests.support import samples

Runs = dict[str, Path]
OTHER_TASK = """
name = "verdicts"
description = "Good or bad?"
source = "ours"
fields = ["subject", "text"]

[labels]
good = "good"
bad = "bad"

[patterns]
was = "it was {mask}. {subject} {text}"
last = "{subject} {text} it was {mask}"
"""
ROWS = [
    ("the game", "a great goal", "good"),
    ("the bank", "the price is big", "bad"),
    ("a rocket", "it was great today", "good"),
    ("a stock", "it was it", "bad"),
]


@pytest.fixture(scope="module")
def other_run(tmp_path_factory: pytest.TempPathFactory, model_folder: ModelFolder) -> Path:
    """Soft prompts of another task: two fields, two labels, two patterns, and no test set."""
    folder = tmp_path_factory.mktemp("verdicts")
    (folder / "task.toml").write_text(OTHER_TASK)
    samples.write_csv(folder / "labeled.csv", ROWS, ("subject", "text", "label"))
    pool = [(one, two) for one, _, _ in ROWS for _, two, _ in ROWS]
    samples.write_csv(folder / "pool.csv", pool, ("subject", "text"))
    config = samples.tiny_config(
        folder,
        model_folder("bert"),
        folder / "run",
        test=None,
        pool=str(folder / "pool.csv"),
        **samples.adapted("soft-prompt"),
    )
    label_pool(config)
    return folder / "run"


@pytest.fixture(scope="module")
def found(adapted_runs: Runs, other_run: Path) -> dict[str, Any]:
    return measure_transfer([adapted_runs["soft-prompt"], other_run], SILENT)


def test_a_tasks_own_adapters_are_as_right_as_the_run_itself_found_them(
    found: dict[str, Any], adapted_runs: Runs
) -> None:
    """A wrong pattern, offset or prompt would show here."""
    report = json.loads((adapted_runs["soft-prompt"] / "report.json").read_text())
    patterns = report["test"]["patterns"].values()
    own = np.mean([pattern["trained"]["accuracy"] for pattern in patterns])
    untrained = np.mean([pattern["zero_shot"]["accuracy"] for pattern in patterns])
    assert found["accuracy"]["matrix"][0][0] == pytest.approx(own, abs=1e-3)
    assert found["accuracy"]["untrained"][0] == pytest.approx(untrained, abs=1e-3)
    assert [row[i] for i, row in enumerate(found["accuracy"]["relative"])] == [1, 1]


def test_the_measured_set_is_named_and_whether_it_was_trained_on(
    found: dict[str, Any],
) -> None:
    """Tasks of other fields and labels go together: each keeps its own patterns and words."""
    assert [(run["task"], run["measured_on"], run["rows"]) for run in found["runs"]] == [
        ("tiny_news", "test", 9),
        ("verdicts", "labeled", 4),
    ]
    assert found["accuracy"]["learned"] == [[False, False], [False, True]]


def test_members_are_compared_in_pairs_and_runs_by_their_means(found: dict[str, Any]) -> None:
    names = [(own["run"], own["member"]) for own in found["members"]]
    assert names == [
        *((0, name) for name in sorted(samples.MEMBERS)),
        (1, "g0-last-r0"),
        (1, "g0-was-r0"),
    ]
    assert set(found["similarity"]) == set(MEASURES)
    for measure, own in found["similarity"].items():
        members = np.array(own["members"])
        assert (members == members.T).all(), measure
        assert own["runs"][0][1] == pytest.approx(members[:3, 3:].mean(), abs=1e-3)
        assert own["runs"][1][1] == members[3, 4], "a member is not compared with itself"
        assert members.max() <= 1
    assert np.diagonal(found["similarity"]["active_neurons"]["members"]) == pytest.approx(1)


def test_the_adapter_that_is_tried_is_the_one_that_a_member_would_start_from(
    adapted_runs: Runs, other_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = transfer.counterpart
    monkeypatch.setattr(
        transfer,
        "counterpart",
        lambda *of: asked.append((of[2], found := real(*of))) or found,
    )
    run = adapted_runs["soft-prompt"]
    measure_transfer([other_run, run], SILENT)
    assert ("last", run / "members" / "g0-last-r0") in asked[:4]
    assert ("was", run / "members" / "g0-bracket-r0") in asked[:4]
    assert ("bracket", other_run / "members" / "g0-was-r0") in asked[4:]


@pytest.mark.parametrize("tuning", ["lora", "prefix", "pfeiffer"])
def test_other_adapters_are_measured_where_a_measure_applies(
    adapted_runs: Runs, tuning: str, tmp_path: Path
) -> None:
    run = adapted_runs[tuning]
    copy = Path(shutil.copytree(run, tmp_path / "again"))
    found = measure_transfer([run, copy], SILENT)
    assert found["accuracy"]["relative"] == [[1, 1], [1, 1]]
    assert ("cosine_average" in found["similarity"]) == (tuning == "prefix")
    measure = "active_neurons" if tuning == "pfeiffer" else "cosine_concatenated"
    assert found["similarity"][measure]["runs"][0][1] > 0


def test_prompts_of_a_causal_model_are_compared_too(
    inputs_folder: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    task = tmp_path / "task.toml"
    task.write_text(samples.task_toml(["last"]))
    for seed in (1, 2):
        label_pool(
            samples.tiny_config(
                inputs_folder,
                model_folder("llama"),
                tmp_path / str(seed),
                task=str(task),
                seed=seed,
                out_of_bag=0,
                **samples.adapted("soft-prompt"),
            )
        )
    found = measure_transfer([tmp_path / "1", tmp_path / "2"], SILENT)
    assert set(found["similarity"]) == set(MEASURES)
    own = found["similarity"]["active_neurons"]["runs"]
    assert own[0][0] is None, "one member has nobody to be compared with"
    assert 0 < own[0][1] <= 1
    report = json.loads((tmp_path / "2" / "report.json").read_text())
    trained = report["test"]["patterns"]["last"]["trained"]["accuracy"]
    assert found["accuracy"]["matrix"][1][1] == pytest.approx(trained, abs=1e-3)


def test_what_cannot_be_compared_is_reported_of_all_runs_at_once(
    adapted_runs: Runs, tiny_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as error:
        measure_transfer([adapted_runs["lora"], tiny_run, tmp_path, adapted_runs["prefix"]], SILENT)
    problems = [(problem.where, problem.found) for problem in error.value.problems]
    assert (str(tiny_run), "members without adapters") in problems
    assert (str(adapted_runs["prefix"]), "prefix adapters") in problems
    assert any(where.startswith(str(tmp_path)) for where, _ in problems)


@pytest.mark.parametrize("times", [1, 2])
def test_one_run_is_not_compared_with_itself(adapted_runs: Runs, times: int) -> None:
    with pytest.raises(InputError, match="two or more runs, each once"):
        measure_transfer([adapted_runs["lora"]] * times, SILENT)


def test_adapters_of_another_model_are_refused(
    adapted_runs: Runs, inputs_folder: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    config = samples.tiny_config(
        inputs_folder, model_folder("roberta"), tmp_path / "run", **samples.adapted("soft-prompt")
    )
    label_pool(config)
    with pytest.raises(InputError, match=r"adapters on another model, .*roberta"):
        measure_transfer([adapted_runs["soft-prompt"], tmp_path / "run"], SILENT)


def test_rows_that_are_no_longer_those_of_the_run_are_refused(
    other_run: Path, adapted_runs: Runs, tmp_path: Path
) -> None:
    """Else training rows could pass for held-out ones, or figures differ from the report's."""
    copy = Path(shutil.copytree(other_run, tmp_path / "copy"))
    changed = samples.write_csv(tmp_path / "other.csv", ROWS[:2], ("subject", "text", "label"))
    config = json.loads((copy / "config.json").read_text())
    runs = [adapted_runs["soft-prompt"], copy]
    for path, match in ((str(changed), "other rows"), (str(tmp_path / "gone.csv"), "gone.csv")):
        (copy / "config.json").write_text(json.dumps({**config, "labeled": path}))
        with pytest.raises(InputError, match=match):
            measure_transfer(runs, SILENT)
    (copy / "config.json").write_text(json.dumps({**config, "labeled": None}))
    with pytest.raises(InputError, match="neither"):
        measure_transfer(runs, SILENT)


def test_an_adapter_that_was_changed_is_refused(
    other_run: Path, adapted_runs: Runs, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(other_run, tmp_path / "copy"))
    weights = copy / "members" / "g0-was-r0" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(InputError, match="was changed or removed"):
        measure_transfer([adapted_runs["soft-prompt"], copy], SILENT)
