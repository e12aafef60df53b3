"""A training that diverges stops with its setting named, and its log kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.pipeline import label_pool
from pet.storage.files import read_json
from tests.support import samples
from tests.support.marks import thorough

Configure = Callable[..., Any]


@pytest.mark.parametrize(
    ("group", "unit", "steps_before", "units"),
    [
        ("member", "g0-category-r0", 0, 1),
        ("student", "student", 12, 9),
        *thorough(("supervised", "supervised", 15, 10)),
    ],
)
def test_a_loss_that_is_no_number_stops_its_unit_alone_and_the_run_goes_on_with_a_lower_rate(
    config_for: Configure,
    monkeypatch: pytest.MonkeyPatch,
    group: str,
    unit: str,
    steps_before: int,
    units: int,
) -> None:
    from pet.models import training

    config = config_for(**samples.SHIPPED)
    real, steps = training._accumulate, []

    def diverge(*arguments: Any) -> float:
        steps.append(real(*arguments))
        return float("nan") if at(len(steps)) else steps[-1]

    folder = Path(config.out)

    def at(step: int) -> bool:
        return step == steps_before + 2

    with monkeypatch.context() as patch:
        patch.setattr(training, "_accumulate", diverge)
        with pytest.raises(InputError, match="a loss of nan in step 2") as caught:
            label_pool(config)
    problem = caught.value.problems[0]
    assert problem.where == f"training {unit}"
    assert problem.fix.startswith(f"lower it: --set {group}.learning_rate=")
    log = folder / "diverged" / f"{unit}.json"
    assert str(log) in problem.found
    assert read_json(log)["losses"] == [steps[steps_before]]
    made = {path.parent.name for path in folder.rglob("done.json")}
    assert unit not in made
    assert len(made) == units
    lower = {**getattr(config, group).model_dump(), "learning_rate": 1e-5}
    assert label_pool(config_for(**samples.SHIPPED, **{group: lower}))["labels"]["rows"]
    assert not log.exists()
