"""Settings with which a run ends in a given time: chosen once, then plain settings of the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pet.checking.estimate import Estimate, about, estimate, rows_scored
from pet.checking.rates import Rates
from pet.config import Budget, RunConfig
from pet.ensemble.lineup import generations_of, has_few_labels
from pet.errors import InputError, Problem
from pet.inputs.inputs import Inputs
from pet.settings import as_problem, changed_settings

# What is left out, one after another, until the time is enough: first what accuracy misses least.
LADDER: tuple[tuple[str, int | float], ...] = (
    ("student.steps", 500),
    ("unlabeled_rows", 20_000),
    ("unlabeled_rows", 10_000),
    ("unlabeled_rows", 5_000),
    ("student.steps", 300),
    ("unlabeled_rows", 3_000),
    ("generations", 2),
    ("unlabeled_rows", 2_000),
    ("generations", 1),
    ("unlabeled_rows", 1_000),
    ("generations", 0),
    ("member.steps", 100),
    ("joint.steps", 20),
    ("student.steps", 150),
    ("supervised.steps", 50),
    ("member.steps", 50),
    ("out_of_bag", 0),
    ("joint.steps", 0),
    ("unlabeled_rows", 500),
    ("student.steps", 50),
    ("supervised.steps", 10),
    ("member.steps", 20),
    ("unlabeled_rows", 200),
    ("student.steps", 20),
    ("member.steps", 0),
)

MARGIN = 0.8  # of the time is planned: a run may take a quarter more than is estimated

Measure = Callable[[RunConfig], Rates]


@dataclass(frozen=True)
class Choice:
    """Settings that were chosen for a time.

    Attributes:
        settings: by their names; none where nothing had to be left out.
        before: what they would have been.
        expected: what the run takes with them.
        whole: what it takes without them.
    """

    settings: Mapping[str, Any]
    before: Mapping[str, Any]
    expected: Estimate
    whole: Estimate

    def describe(self, time: str) -> str:
        """Say what is left out, and what the run is expected to take."""
        takes = f"--budget {time}: about {about(self.expected.seconds)} here"
        if not self.settings:
            return f"{takes}; nothing is left out"
        less = ", ".join(
            f"{name}={_written(value)} instead of {_written(self.before[name])}"
            for name, value in self.settings.items()
        )
        return f"{takes}, with {less}; without a budget about {about(self.whole.seconds)}"


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def choose(inputs: Inputs, pool_rows: int, measure: Measure, budget: Budget) -> Choice:
    """Choose settings so that the run ends in a time; those of the user stay as they are.

    Args:
        pool_rows: rows of the pool.

    Raises:
        InputError: the time is too short for any run of these inputs, or the preset's settings
            are not to be changed.
    """
    config, limit = inputs.config, MARGIN * budget.seconds
    if config.preset == "paper":
        raise InputError(
            Problem(
                "--budget",
                "a preset whose settings may be changed",
                "paper: its settings are the published ones",
                "leave out --budget, or take --preset default",
            )
        )
    kept = {*budget.kept, *changed_settings(config)}
    rates = measure(config)
    whole = longest(inputs, pool_rows, rates)
    student: dict[str, Any] = {}
    if whole.seconds > limit and config.encoder is not None and "student_model" not in kept:
        smaller = {"student_model": config.encoder}
        others = measure(with_settings(config, smaller))
        if others.student_step < rates.student_step:
            student, rates = smaller, others

    def takes(settings: Mapping[str, Any]) -> Estimate:
        own = with_settings(config, {**student, **settings})
        return longest(replace(inputs, config=own), pool_rows, rates)

    before = values_of(inputs, pool_rows)
    rungs = [(name, value) for name, value in LADDER if name not in kept and value < before[name]]
    settings: dict[str, Any] = {}
    for name, value in rungs:
        if takes(settings).seconds <= limit:
            break
        settings[name] = value
    if (least := takes(settings)).seconds > limit:
        raise _too_short(budget, {**student, **settings}, least)
    for name in reversed(list(settings)):  # what went last is worth most: it comes back first
        for value in [before[name], *(own for rung, own in rungs if rung == name)]:
            if takes({**settings, name: value}).seconds <= limit:
                settings[name] = value
                break
    settings = {name: value for name, value in settings.items() if value != before[name]}
    before["student_model"] = config.model
    return Choice({**student, **settings}, before, takes(settings), whole)


def longest(inputs: Inputs, pool_rows: int, rates: Rates) -> Estimate:
    """Estimate a run; of few labeled rows it is not known yet whether generation 0 is trained."""
    found = [estimate(inputs, pool_rows, rates)]
    if has_few_labels(inputs.config, inputs.task, inputs.labeled):
        trained = with_settings(inputs.config, {"train_from": 0.0})
        found.append(estimate(replace(inputs, config=trained), pool_rows, rates))
    return max(found, key=lambda own: own.seconds)


def values_of(inputs: Inputs, pool_rows: int) -> dict[str, Any]:
    """Return what a run does of everything that may be less, by the settings' names."""
    config, task = inputs.config, inputs.task
    scored = rows_scored(config, len(task.labels), pool_rows)
    return {
        "student.steps": config.student.steps,
        "member.steps": config.member.steps,
        "joint.steps": config.joint.steps,
        "supervised.steps": config.supervised.steps,
        "unlabeled_rows": scored,
        "generations": generations_of(config, task, inputs.labeled, scored),
        "out_of_bag": config.out_of_bag,
    }


def _too_short(budget: Budget, settings: Mapping[str, Any], least: Estimate) -> InputError:
    enough = f"{math.ceil(least.seconds / MARGIN / 60)}m"
    with_least = ", ".join(f"{name}={_written(value)}" for name, value in settings.items())
    return InputError(
        Problem(
            "--budget",
            f"at least {enough}: the least that a run of these texts and models does here"
            + (f" ({with_least})" if settings else "")
            + f" takes about {about(least.seconds)}",
            budget.time,
            f"--budget {enough}; a smaller --model and --student-model, or a smaller pool, "
            "take less",
        )
    )


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """Return a configuration with other values, by the names that `--set` takes.

    Raises:
        InputError: a value that the setting cannot have.
    """
    data = config.model_dump()
    for name, value in settings.items():
        group, _, own = name.rpartition(".")
        (data[group] if group else data)[own] = value
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise InputError([as_problem(detail) for detail in error.errors()]) from None
