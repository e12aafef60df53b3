"""Models and patterns, looked at before a run writes its first file."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.inputs import model_checks as inspection
from pet.inputs.model_checks import suitable
from pet.inputs.reading import read_inputs
from pet.inputs.run_tables import read_tables
from pet.models.model import Classifier
from pet.pipeline import label_pool
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.cloze import CPU, fresh_classifier

Configure = Callable[..., Any]


def test_a_task_without_a_pattern_for_a_causal_model_is_refused(config_for: Configure) -> None:
    task = read_tables(config_for()).task
    assert suitable(task, reading="masked") == (task, [])
    only = dataclasses.replace(task, patterns=task.patterns[:2])
    with pytest.raises(InputError, match="a pattern that ends in"):
        suitable(only, reading="causal")


def test_a_model_of_encoder_and_decoder_needs_its_reading_and_another_student(
    config_for: Configure, model_folder: ModelFolder
) -> None:
    own = {"model": str(model_folder("t5")), "student_model": str(model_folder("bert"))}
    with pytest.raises(InputError, match="--set mask=sentinel") as caught:
        read_inputs(config_for(**own))
    assert [problem.where for problem in caught.value.problems] == ["setting mask"]
    with pytest.raises(InputError, match="--student-model"):
        read_inputs(config_for(**own | {"student_model": None}, mask="sentinel"))
    inputs = read_inputs(config_for(**own, mask="end"))
    assert [pattern.name for pattern in inputs.task.patterns] == ["last"], "where the mask is last"


def test_a_language_that_cannot_be_learned_is_refused(
    config_for: Configure, model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "sentinels", lambda _: [])
    own = {"model": str(model_folder("flan")), "student_model": str(model_folder("bert"))}
    with pytest.raises(InputError, match="setting lm_weight"):
        read_inputs(config_for(**own, mask="end", lm_weight=0.01))


def test_what_is_wrong_with_device_length_models_and_words_comes_at_once(
    config_for: Configure, inputs_folder: Path, tmp_path: Path
) -> None:
    inputs = Path(shutil.copytree(inputs_folder, tmp_path / "inputs"))
    task = (inputs / "task.toml").read_text().replace('"business"', '"zebra"')
    (inputs / "task.toml").write_text(task)
    with pytest.raises(InputError) as caught:
        read_inputs(config_for(inputs=inputs, device="toaster", max_length=512, encoder="./no"))
    wheres = [problem.where for problem in caught.value.problems]
    assert wheres[:3] == ["./no", "setting device", "setting max_length"]
    assert "zebra" in wheres[3]
    assert len(wheres) == 4


def test_a_run_that_goes_on_does_not_load_its_models_once_more(
    config_for: Configure, run_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A billion weights take a minute to load, which a run with nothing to do has no use for."""
    monkeypatch.setattr(inspection, "load_teacher", lambda *_: pytest.fail("it was loaded"))
    assert label_pool(config_for(out=run_copy))["labels"]["rows"]


def test_tokens_that_were_added_for_others_may_lie_behind_the_vocabulary(
    config_for: Configure, model_folder: ModelFolder, tmp_path: Path
) -> None:
    """Some chat models carry tokens that their embeddings have no row for, and no text has."""
    model = Path(shutil.copytree(model_folder("bert"), tmp_path / "model"))
    path = model / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    extra = {**tokenizer["added_tokens"][0], "id": 5000, "content": "<image>"}
    tokenizer["added_tokens"].append(extra)
    path.write_text(json.dumps(tokenizer))
    assert read_inputs(config_for(model=str(model)))


def test_an_adapter_without_a_place_is_refused_in_the_folder_of_an_earlier_run_too(
    config_for: Configure, run_copy: Path
) -> None:
    """The model is known from that run, but not whether it has a place for what is new."""
    lora = {"member": {"steps": 2, "batch_size": 4, "tuning": "lora"}}
    for changes in (lora, {**lora, "lora": {"rank": 2}}):
        if "lora" in changes:
            label_pool(config_for(out=run_copy, **changes))  # now the tuning is known as well
        config = config_for(out=run_copy, **lora, lora={"targets": ["q_proj"]})
        with pytest.raises(InputError, match=r"lora\.targets"):
            label_pool(config)
        assert (run_copy / "report.json").exists(), "the run in the folder was taken apart"


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_student_model_that_was_a_classifier_may_have_had_any_number_of_labels(
    config_for: Configure, model_folder: ModelFolder, tmp_path: Path, count: int
) -> None:
    """One of two labels passed, and failed after all members were trained; others never passed."""
    names = tuple(f"old {place}" for place in range(count))
    fresh_classifier(model_folder("bert"), names).save(tmp_path / "classifier")
    config = config_for(student_model=str(tmp_path / "classifier"))
    inputs = read_inputs(config)
    student = Classifier.fresh(config.student_ref, inputs.task.labels, CPU, 0)
    assert tuple(student.module.config.id2label.values()) == inputs.task.labels


@pytest.mark.parametrize(
    ("kind", "changes", "match"),
    [
        ("deberta", {"member": {"tuning": "prefix"}}, "another but prefix"),
        ("bart", {"member": {"tuning": "soft-prompt"}}, "member.tuning=lora"),
        ("bert", {"member": {"tuning": "lora"}, "lora": {"targets": ["q_proj"]}}, "lora.targets"),
        (
            "bert",
            {"member": {"tuning": "soft-prompt"}, "soft_prompt": {"length": 30}},
            "max_length",
        ),
    ],
)
def test_an_adapter_that_a_model_has_no_place_for_is_refused_before_a_run_begins(
    config_for: Configure, model_folder: ModelFolder, kind: str, changes: dict[str, Any], match: str
) -> None:
    """Otherwise it shows after the first hour, when all that needs no training is done."""
    config = config_for(
        model=str(model_folder(kind)), student_model=str(model_folder("bert")), **changes
    )
    with pytest.raises(InputError, match=match):
        label_pool(config)
    assert not Path(config.out).exists()


def test_a_teacher_without_a_classification_head_needs_another_student(
    config_for: Configure, model_folder: ModelFolder
) -> None:
    """All members were trained before the student turned out to be none."""
    config = config_for(model=str(model_folder("granite")))
    with pytest.raises(InputError, match="--student-model") as caught:
        label_pool(config)
    assert "granite, for which it has none" in str(caught.value)
    assert not Path(config.out).exists()
    assert read_inputs(config.model_copy(update={"student_model": str(model_folder("bert"))}))


def test_a_students_adapter_without_a_place_is_refused_before_a_run_begins(
    config_for: Configure,
) -> None:
    lora = {"lora": {"targets": ["q_proj"]}, "student": {"steps": 2, "tuning": "lora"}}
    config = config_for(**lora)
    with pytest.raises(InputError, match=r"lora\.targets"):
        label_pool(config)
    assert not Path(config.out).exists()


def test_a_run_whose_model_cannot_read_the_texts_says_so(
    config_for: Configure, own_inputs: Path
) -> None:
    rows = [(f"房间很干净 {n}", label) for n, label in enumerate(samples.LABELS * 2)]
    samples.write_csv(own_inputs / "labeled.csv", rows, ("text", "label"))
    listener = samples.Listener()
    read_inputs(config_for(inputs=own_inputs), listener)
    [line] = [line for line in listener.said if "unknown" in line]
    assert line.endswith("take a multilingual model: --model xlm-roberta-base")
