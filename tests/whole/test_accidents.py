"""Accidents that once cost work, or gave wrong labels without a word."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet import pipeline
from pet.errors import InputError, Problem
from pet.inputs.pool_sample import load_unlabeled
from pet.inputs.reading import open_session
from pet.models.loading import HUB_ID
from pet.pipeline import label_pool
from pet.storage.files import read_json
from pet.student.distillation import train_supervised
from tests.support import samples
from tests.support.lineups import named, planned
from tests.support.marks import thorough

Configure = Callable[..., Any]


def test_labels_in_another_order_make_other_members(config_for: Configure, run_copy: Path) -> None:
    """Scores are kept by place: with the labels reordered, every old score would be misread."""
    session = open_session(config_for(out=run_copy))
    words = {
        name: dict(reversed(list(of_label.items())))
        for name, of_label in session.task.words.items()
    }
    task = replace(session.task, labels=session.task.labels[::-1], words=words)
    member = planned(session).first[0]
    assert (
        named(session).fingerprints[member]
        != named(replace(session, inputs=replace(session.inputs, task=task))).fingerprints[member]
    )


def test_columns_that_cannot_be_kept_are_found_before_anything_is_trained(
    config_for: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    for name, values in (("a", [2**60 + 1, 1]), ("b", [1.5, None])):
        pq.write_table(
            pa.table({"text": ["a game", "a star"], "n": values}), pool / f"{name}.parquet"
        )
    monkeypatch.setattr(pipeline, "train_member", None)
    with pytest.raises(InputError, match="values of the column 'n'"):
        label_pool(config_for(pool=str(pool), keep_columns=["n"]))


def units_of(run: Path) -> dict[str, str]:
    """The fingerprints of what a run has trained."""
    found = [*run.glob("members/*/done.json"), *run.glob("*/done.json")]
    return {
        path.parent.name: read_json(path)["fingerprint"]
        for path in found
        if (path.parent / "model.safetensors").exists()
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"test": None}, {}),
        *thorough(({}, {"precision": "float32"})),
        ({}, {"first_rows": 7}),
    ],
    ids=["a test set that comes later", "what auto means on a CPU", "a start without labels"],
)
def test_what_no_model_depends_on_trains_none_again(
    config_for: Configure, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """The report itself sends people to add a test set: hours of training for the same weights."""
    grown = {"generations": 1, "growth_factor": 1.5, "adapt_steps": 1, **samples.SHIPPED}
    label_pool(config_for(**grown, **before))
    config = config_for(**grown, **after)
    made = units_of(Path(config.out))
    assert {"student", "adapted"} < made.keys()
    label_pool(config, update=True)
    assert units_of(Path(config.out)) == made


def test_fields_in_another_order_make_another_baseline(
    config_for: Configure, run_copy: Path
) -> None:
    session = open_session(config_for(out=run_copy))
    turned = replace(
        session,
        inputs=replace(
            session.inputs, task=replace(session.task, fields=("more", *session.task.fields))
        ),
    )
    made = json.loads((run_copy / "supervised" / "done.json").read_text())
    assert train_supervised(session).fingerprint == made["fingerprint"]
    with pytest.raises(KeyError):  # it is trained anew: there is no such column here
        train_supervised(turned)


def test_wrong_input_that_shows_late_does_not_delete_what_was_made(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise InputError(Problem("the hub", "an answer", "none", "try again"))

    config = config_for()
    monkeypatch.setattr(pipeline, "train_student", refuse)
    with pytest.raises(InputError, match="the hub"):
        label_pool(config)
    assert list(Path(config.out).glob("members/g0-*/model.safetensors"))


def test_a_pool_that_is_refused_leaves_no_new_folder(config_for: Configure, tmp_path: Path) -> None:
    pool = samples.write_pool(tmp_path / "pool.parquet", [None, "", " ", "a text"])
    config = config_for(pool=str(pool))
    with pytest.raises(InputError, match="unusable rows"):
        label_pool(config)
    assert not Path(config.out).exists()


def test_test_rows_that_stand_in_the_pool_are_labeled_but_never_learned_from(
    config_for: Configure, tmp_path: Path
) -> None:
    texts = [text for text, _ in samples.test_rows()]
    pool = samples.write_pool(tmp_path / "pool.parquet", [*texts, "another text altogether"])
    config = config_for(pool=str(pool))
    report = label_pool(config)
    unlabeled = load_unlabeled(Path(config.out))
    assert unlabeled.trainable.tolist() == [False] * len(texts) + [True]
    assert report["labels"]["rows"] == len(texts) + 1


def test_a_run_killed_before_its_first_file_goes_on(config_for: Configure) -> None:
    config = config_for()
    (Path(config.out) / ".pet-tmp-abc").mkdir(parents=True)
    (Path(config.out) / ".lock").touch()
    assert label_pool(config)["labels"]["rows"]


@pytest.mark.parametrize("ref", ["Qwen/Qwen2.5-0.5B", "HuggingFaceTB/SmolLM2-1.7B", "gpt2"])
def test_a_hub_id_with_a_dot_is_no_missing_folder(ref: str) -> None:
    assert HUB_ID.fullmatch(ref)


@pytest.mark.parametrize("ref", ["./model", "/a/model", "a/b/c", "model.bin", "~/model"])
def test_a_path_is_no_hub_id(ref: str) -> None:
    assert not HUB_ID.fullmatch(ref)
