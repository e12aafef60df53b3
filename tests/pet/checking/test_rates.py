"""How fast models are here: every part of a run has its figure, whatever the tuning."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from pet.checking.rates import measure_rates
from pet.tasks.task import load_task
from tests.support import samples

POOL = {"text": [text for text in samples.pool_texts() if text and text.strip()]}


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("bert", {}),
        ("gpt2", {"encoder": "bert"}),
        ("bert", samples.adapted("soft-prompt")),
        ("bert", {"student": {"steps": 3, "tuning": "lora"}}),
    ],
)
def test_every_part_of_a_run_is_timed(
    config_for: Any, model_folder: Any, kind: str, more: dict[str, Any]
) -> None:
    models = {"model": str(model_folder(kind))}
    if "encoder" in more:
        more = {**more, "encoder": str(model_folder(more["encoder"]))}
    config = config_for(**{**models, **more})
    task = load_task(config.task)
    if kind == "gpt2":
        task = type(task)(**{**vars(task), "patterns": (task.pattern("last"),)})
    found = asdict(measure_rates(config, task, POOL))
    assert (found.pop("encoded") > 0) == (config.encoder is not None)
    assert min(found.values()) > 0


def test_of_models_that_are_not_trained_no_step_is_timed(config_for: Any) -> None:
    still = {"steps": 0}
    config = config_for(member=still, student=still, supervised=still)
    found = measure_rates(config, load_task(config.task), POOL)
    assert found.member_step == found.student_step == 0
    assert found.scored > 0
