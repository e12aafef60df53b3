"""The preset of a run that names none: a large teacher on a CPU is not trained for hours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pet.config import PRESETS, ModelRef
from pet.data.labeled import read_labeled
from pet.inputs import presets
from pet.inputs.presets import choose_preset, slow_precision, with_joint_steps, with_preset
from pet.models.loading import count_weights
from pet.models.teachers import load_teacher
from pet.settings import make_config
from pet.tasks.task import load_task

Configure = Callable[..., Any]
MEMBER = {"steps": 150}


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "LARGE_CAUSAL", 1000)


def config(model_folder: Any, kind: str, **more: Any) -> Any:
    needed = {"task": "t.toml", "pool": "p", "out": "o", "model": str(model_folder(kind))}
    return make_config({**needed, "device": "cpu", **more})


@pytest.mark.usefixtures("large")
def test_a_large_causal_teacher_beside_an_encoder_is_not_trained_on_a_cpu(
    model_folder: Any,
) -> None:
    """Nine members of 135 million weights, trained in full, are five hours on two cores."""
    preset, why = choose_preset(config(model_folder, "llama", encoder="minilm"))
    assert preset == "cpu"
    assert "share one model" in why
    assert "--preset default" in why


@pytest.mark.parametrize(
    ("preset", "more", "rows", "several", "steps"),
    [
        ("cpu", {}, 40, False, 20),
        ("cpu", {}, 6, False, 0),  # of films it made labels worse
        ("cpu", {}, 40, True, 0),
        ("cpu", {"joint": {"steps": 0}}, 40, False, 0),
        ("cpu", {"joint": {"steps": 7}}, 6, False, 7),
        ("cpu", {"member": {"tuning": "lora"}}, 40, False, 20),
        ("cpu", {"member": {"steps": 5}}, 40, False, 0),
        ("default", {}, 40, False, 0),
    ],
)
def test_a_teacher_is_trained_jointly_where_that_pays_and_else_as_the_user_says(
    model_folder: Any,
    tmp_path: Path,
    preset: str,
    more: Any,
    rows: int,
    several: bool,
    steps: int,
) -> None:
    made = config(model_folder, "llama", preset=preset, **more)
    path = tmp_path / "labeled.csv"
    path.write_text("text,label\n" + "good,positive\nbad,negative\n" * (rows // 2))
    task = load_task("movies")
    labeled = read_labeled(path, task.fields, task.labels)
    if several:
        task = replace(task, labels_per_text="any")
    assert with_joint_steps(made, task, labeled).joint.steps == steps


@pytest.mark.usefixtures("large")
def test_fast_is_not_hours_of_training_on_a_cpu(model_folder: Any) -> None:
    made = with_preset(
        lambda more: config(
            model_folder, "llama", **{"encoder": "minilm", "preset": "fast", **more}
        ),
        lambda line: None,
    )
    assert made.preset == "cpu"
    assert made.member.steps == 0


@pytest.mark.usefixtures("large_masked")
def test_a_large_causal_teacher_without_an_encoder_learns_for_minutes(model_folder: Any) -> None:
    """It was trained in full, for hours, unless the user knew of an encoder."""
    preset, why = choose_preset(config(model_folder, "llama"))
    assert preset == "cpu-causal"
    assert "--encoder" in why
    assert PRESETS[preset]["train_from"] == 0, "later generations, which would learn, are left out"


@pytest.fixture
def large_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "LARGE", 1000)


@pytest.mark.usefixtures("large_masked")
def test_a_large_masked_teacher_learns_for_minutes_on_a_cpu(model_folder: Any) -> None:
    """`roberta-base` with every setting at its default takes half a day on two cores."""
    preset, why = choose_preset(config(model_folder, "roberta"))
    assert preset == "cpu-masked"
    assert "--preset default" in why
    assert "--budget" in why


@pytest.mark.usefixtures("large_masked")
def test_a_large_masked_teacher_keeps_its_settings_where_a_budget_chooses(
    model_folder: Any,
) -> None:
    made = with_preset(
        lambda more: config(model_folder, "roberta", **more), lambda line: None, budgeted=True
    )
    assert made.preset == "default"


@pytest.mark.usefixtures("large_masked")
def test_a_gpu_trains_a_large_masked_teacher_in_full(
    model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "choose_device", lambda name: torch.device("cuda"))
    assert choose_preset(config(model_folder, "roberta"))[0] == "default"


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        pytest.param("llama", {}, id="a middling one without an encoder"),
        pytest.param("bert", {"encoder": "minilm"}, id="a masked one"),
        pytest.param("llama", {"encoder": "minilm", "preset": "paper"}, id="one was named"),
        pytest.param(
            "llama", {"encoder": "minilm", "member": {"steps": 20}}, id="training is asked for"
        ),
        pytest.param("llama", {"encoder": "minilm", "device": "toaster"}, id="no such device"),
    ],
)
def test_any_other_run_keeps_its_preset(model_folder: Any, kind: str, more: dict[str, Any]) -> None:
    made = config(model_folder, kind, **more)
    assert choose_preset(made) == (made.preset, "")


def test_a_small_teacher_is_trained(model_folder: Any) -> None:
    assert choose_preset(config(model_folder, "llama", encoder="minilm")) == ("default", "")


@pytest.mark.usefixtures("large")
def test_the_chosen_preset_lies_under_what_the_user_set(
    model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presets, "has_fast_bfloat16", lambda: True)
    noted: list[str] = []
    made = with_preset(
        lambda more: config(model_folder, "llama", encoder="minilm", max_length=200, **more),
        noted.append,
    )
    assert len(noted) == 1
    assert made.preset == "cpu"
    assert made.max_length == 200
    assert made.member.steps == 0
    assert made.student.steps == PRESETS["cpu"]["student"]["steps"]
    assert made.precision == "bfloat16"


def test_a_processor_without_bfloat16_keeps_float32(
    model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There it is six times slower, and nobody is warned."""
    monkeypatch.setattr(presets, "LARGE_CAUSAL", 1000)
    monkeypatch.setattr(presets, "has_fast_bfloat16", lambda: False)
    made = with_preset(
        lambda more: config(model_folder, "llama", encoder="minilm", **more), lambda line: None
    )
    assert made.precision == "auto"


def test_weights_are_counted_without_loading_them(model_folder: Any) -> None:

    ref = ModelRef(str(model_folder("llama")))
    module = load_teacher(ref, torch.device("cpu")).module
    assert count_weights(ref) == sum(p.numel() for p in module.parameters())


def test_bfloat16_on_a_processor_without_it_is_warned_of(
    model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MiniLM scored three rows a second with it, twenty without, and no word was said."""
    monkeypatch.setattr(presets, "has_fast_bfloat16", lambda: False)
    slow = config(model_folder, "bert", precision="bfloat16")
    assert "--set precision=float32" in slow_precision(slow)
    assert slow_precision(config(model_folder, "bert")) == ""
    monkeypatch.setattr(presets, "has_fast_bfloat16", lambda: True)
    assert slow_precision(slow) == ""


@pytest.mark.parametrize("amx", [True, False])
def test_instructions_for_vectors_alone_do_not_make_bfloat16_the_faster_one(
    monkeypatch: pytest.MonkeyPatch, amx: bool
) -> None:
    monkeypatch.setattr(presets.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert presets.has_fast_bfloat16() is amx
