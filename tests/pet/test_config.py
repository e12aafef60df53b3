"""Settings: presets under what the user says, and every problem at once."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest

from pet.config import PRESETS, ModelRef, RunConfig, TrainingConfig
from pet.models.training import training_shape
from tests.support.settings import NEEDED, config, problems_of


def test_options_that_were_not_given_keep_their_defaults() -> None:
    assert config(test=None, seed=None) == RunConfig(**NEEDED)


def test_the_paper_preset_is_the_papers_table_5() -> None:
    paper = config(preset="paper")
    assert (paper.repetitions, paper.max_length, paper.temperature) == (3, 256, 2.0)
    assert (paper.lm_weight, paper.generations, paper.calibration) == (1e-4, "paper", "none")
    assert (paper.first_rows, paper.teacher_share, paper.drawn_labels) == (10, 0.25, "hard")
    assert paper.class_weight == "none"
    # Members with the language-model loss: 4 labeled and 12 unlabeled rows a step.
    for training, steps, size in (
        (paper.member, 1000, 4),
        (paper.student, 5000, 16),
        (paper.supervised, 250, 16),
    ):
        assert (training.steps, training.batch_size) == (steps, size)
        assert (training.learning_rate, training.dropout) == (1e-5, None)
        shape = training_shape(paper, TrainingConfig(**training.model_dump(exclude={"exits"})))
        assert shape["warmup"] == 0.0
        assert (shape["weight_decay"], shape["max_grad_norm"]) == (0.01, 1.0)
        assert shape["adam_epsilon"] == 1e-8


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
    "setting",
    [
        "max_rejected=1.1",
        "abstain_below=-0.1",
        "max_length=7",
        "tokens_per_batch=1",
        "member.learning_rate=0",
        "student.learning_rate=NaN",
        "member.dropout=1",
        "student=5",
        "repetitions=0",
        "label_with=both",
        "shard_rows=0",
    ],
)
def test_a_value_out_of_bounds_is_refused(setting: str) -> None:
    assert problems_of(setting) == [f"setting {setting.partition('=')[0]}"]


def test_the_steps_of_an_adaptation_are_not_taken_where_they_would_do_nothing() -> None:
    assert problems_of("adaptation.steps=500") == ["setting adaptation.steps"]
    assert config("adapt_steps=500").adapt_steps == 500


def test_a_preset_that_is_no_text_is_refused() -> None:
    assert problems_of('preset=["fast"]') == ["setting preset"]


def test_an_infinite_temperature_is_refused() -> None:
    assert problems_of("temperature=Infinity") == ["setting temperature"]


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        config().seed = 1  # type: ignore[misc]


def test_an_adapters_learning_rate_is_not_the_one_that_a_preset_has_for_all_weights() -> None:
    """1e-5 would leave a soft prompt where it started."""
    assert config(preset="paper").member.learning_rate == 1e-5
    made = config("member.tuning=lora", preset="paper").member
    assert (made.learning_rate, made.steps) == (None, 1000)
    made = config("member.tuning=lora", "member.learning_rate=0.01", preset="paper").member
    assert made.learning_rate == 0.01


def test_a_model_that_is_kept_whole_is_tuned_in_full_or_by_lora() -> None:
    """A prompt cannot be merged into weights that plain transformers loads."""
    assert config("student.tuning=lora").student.tuning == "lora"
    assert problems_of("student.tuning=prefix") == ["setting student.tuning"]
    made = config("student.tuning=lora", preset="paper")
    assert made.student.learning_rate is made.supervised.learning_rate is None


@pytest.mark.parametrize(
    ("written", "name", "revision"),
    [
        ("roberta-large", "roberta-large", None),
        ("org/model@v1.0", "org/model", "v1.0"),
        ("roberta-large@refs/pr/3", "roberta-large", "refs/pr/3"),
        ("roberta-large@", "roberta-large@", None),
    ],
)
def test_a_hub_id_may_carry_its_revision(written: str, name: str, revision: str | None) -> None:
    made = config(model=written, encoder=written, student_model=written)
    assert set(made.model_refs().values()) == {ModelRef(name, revision)}
    assert made.model_ref.written == written


def test_a_folder_may_have_an_at_sign_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert@work").mkdir()
    assert config(model="bert@work").model_ref == ModelRef("bert@work")
    assert config(model="bert@home").model_ref == ModelRef("bert", "home")


@pytest.mark.parametrize("nothing", [None, ""])
def test_ids_are_switched_off_by_null_or_by_nothing(nothing: str | None) -> None:
    assert RunConfig(**NEEDED, id_column=nothing).id_column is None


def test_no_labeled_row_is_left_unused_by_the_fast_preset() -> None:
    """With four rows a label it learned nothing from them, and said so in a line of the log."""
    assert config(preset="fast").train_from == 0
