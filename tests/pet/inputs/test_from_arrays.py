"""What `fit` was given becomes files and settings: nothing lost, nothing overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pet.errors import InputError
from pet.inputs.from_arrays import FitInputs, read_task
from pet.tasks.task import load_task

TASK = {"labels": {"a": "good", "b": "bad"}, "patterns": {"was": "{text} It was {mask}."}}


def given(**changes: Any) -> FitInputs:
    values = {
        "task": read_task(TASK),
        "texts": {"text": ["one", "two", None]},
        "names": ["a", None, "b"],
        "classes": np.array(["a", "b"]),
        "pool": None,
        "values": {"model": "m"},
        "settings": {},
    }
    return FitInputs(**{**values, **changes})


def test_a_task_is_a_mapping_a_path_a_name_or_a_task(tmp_path: Path) -> None:
    task = read_task(TASK)
    assert (task.name, task.fields, task.labels) == ("task", ("text",), ("a", "b"))
    (tmp_path / "task.toml").write_text(task.toml, encoding="utf-8")
    for same in (str(tmp_path / "task.toml"), tmp_path / "task.toml", task):
        assert read_task(same) == task
    assert read_task("newsgroups") == load_task("newsgroups")


def test_a_mapping_may_hold_what_toml_must_escape() -> None:
    """A quote or a line break in a label must not end the text and begin another key."""
    labels = {'a "b"\\': "good", "x.y = 1 #": ["bad", "ünschön 🙂"]}
    task = read_task({**TASK, "labels": labels, "description": 'x"\nname = "y'})
    assert task.labels == tuple(labels)
    assert task.words["was"]["x.y = 1 #"] == ("bad", "ünschön 🙂")
    assert (task.name, task.description) == ("task", 'x"\nname = "y')


def test_a_tasks_problems_come_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_task({"labels": {"a": "x"}, "patterns": {"p": "{text}"}})
    assert len(caught.value.problems) == 2


def test_labeled_and_unlabeled_rows_are_parted(tmp_path: Path) -> None:
    config = given(pool={"text": ["more"]}).write(tmp_path)
    labeled = pq.read_table(str(config.labeled)).to_pylist()
    assert labeled == [{"text": "one", "label": "a"}, {"text": None, "label": "b"}]
    assert pq.read_table(config.pool)["text"].to_pylist() == ["two", "more"]
    assert not config.learn_from_labeled


def test_a_field_called_label_is_not_overwritten_by_the_label(tmp_path: Path) -> None:
    task = read_task({**TASK, "fields": ["label"], "patterns": {"was": "{label} {mask}"}})
    config = given(task=task, texts={"label": ["x", "y", "z"]}).write(tmp_path)
    row = pq.read_table(str(config.labeled)).to_pylist()[0]
    assert row == {"label": "x", config.label_column: "a"}


def test_settings_reach_the_run_with_their_own_types(tmp_path: Path) -> None:
    settings = {"student.steps": np.int64(7), "member": {"steps": 3}, "weights": "uniform"}
    config = given(settings=settings).write(tmp_path)
    assert (config.student.steps, config.member.steps, config.weights) == (7, 3, "uniform")


def test_all_that_cannot_be_set_is_reported_at_once() -> None:
    wrong = given(settings={"seed": 1, "out": "x"}, values={}, pool=Path("pool.parquet"))
    with pytest.raises(InputError) as caught:
        wrong.check()
    assert [problem.where for problem in caught.value.problems] == [
        "setting out",
        "setting seed",
        "model",
        "pool",
    ]


def test_runs_are_named_by_all_that_matters() -> None:
    same, *others = [
        given(),
        given(names=["a", None, "a"]),
        given(settings={"seed": 1}),
        given(pool={"text": []}),
        given(values={"model": "other"}),
    ]
    assert given().name() == same.name()
    assert len({given.name() for given in [same, *others]}) == 5
