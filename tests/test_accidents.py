"""Accidents that once cost work, or gave wrong labels without a word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pet import pipeline
from pet.errors import InputError, Problem
from pet.inputs import read_inputs
from pet.loading import HUB_ID
from pet.members import member_fingerprint, members_of
from pet.pipeline import label_pool
from pet.sampling import load_unlabeled
from tests import samples

Configure = Callable[..., Any]


def test_labels_in_another_order_make_other_members(config_for: Configure, run_copy: Path) -> None:
    """Scores are kept by place: with the labels reordered, every old score would be misread."""
    inputs = read_inputs(config_for(out=run_copy))
    words = {
        name: dict(reversed(list(of_label.items()))) for name, of_label in inputs.task.words.items()
    }
    task = replace(inputs.task, labels=inputs.task.labels[::-1], words=words)
    member = members_of(inputs)[0]
    assert member_fingerprint(inputs, member) != member_fingerprint(
        replace(inputs, task=task), member
    )


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
