"""Settings with which a run ends in a given time: chosen once, then plain settings of the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from pet.checking.estimate import Estimate, about, estimate, rows_scored
from pet.checking.rates import TIMED_ROWS, Rates, measure_rates
from pet.config import Budget, RunConfig
from pet.ensemble.lineup import generations_of, has_few_labels
from pet.errors import InputError, Problem
from pet.inputs.inputs import Inputs
from pet.models.loading import count_weights, model_digest
from pet.models.scoring import Columns
from pet.progress import Observer
from pet.settings import as_problem, changed_settings
from pet.storage.files import read_record

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
    ("student.steps", 150),
    ("supervised.steps", 50),
    ("member.steps", 50),
    ("out_of_bag", 0),
    ("unlabeled_rows", 500),
    ("student.steps", 50),
    ("supervised.steps", 10),
    ("member.steps", 20),
    ("unlabeled_rows", 200),
    ("student.steps", 20),
    ("member.steps", 0),
)

# Of these, the one that saves most is named where a run without a budget takes long.
ALONE: tuple[tuple[str, int | float], ...] = (
    ("generations", 0),
    ("unlabeled_rows", 2_000),
    ("student.steps", 300),
    ("member.steps", 50),
)

MARGIN = 0.8  # of the time is planned: a run may take a quarter more than is estimated

LONG = 3600.0  # seconds from which a user is told how to take less

TOO_LITTLE = 1e8  # the teacher's weights times the pool's rows: the run takes seconds

RECORD = "budget"  # in a run folder's manifest

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
            f"{name}={_written(value)} ({_written(self.before[name])})"
            for name, value in self.settings.items()
        )
        return f"{takes} instead of {about(self.whole.seconds)}, with {less}"


def _written(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


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
    whole = _longest(inputs, pool_rows, rates)
    student: dict[str, Any] = {}
    if whole.seconds > limit and config.encoder is not None and "student_model" not in kept:
        smaller = {"student_model": config.encoder, "student_revision": config.encoder_revision}
        others = measure(with_settings(config, smaller))
        if others.student_step < rates.student_step:
            student, rates = smaller, others

    def takes(settings: Mapping[str, Any]) -> Estimate:
        own = with_settings(config, {**student, **settings})
        return _longest(replace(inputs, config=own), pool_rows, rates)

    before = _values(inputs, pool_rows)
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
    models = {"student_model": config.student_ref.name, "student_revision": None}
    return Choice({**student, **settings}, before | models, takes(settings), whole)


def _longest(inputs: Inputs, pool_rows: int, rates: Rates) -> Estimate:
    """Estimate a run; of few labeled rows it is not known yet whether generation 0 is trained."""
    found = [estimate(inputs, pool_rows, rates)]
    if has_few_labels(inputs.config, inputs.task, inputs.labeled):
        trained = with_settings(inputs.config, {"train_from": 0.0})
        found.append(estimate(replace(inputs, config=trained), pool_rows, rates))
    return max(found, key=lambda own: own.seconds)


def _values(inputs: Inputs, pool_rows: int) -> dict[str, Any]:
    """Return what a run does of everything that may be less, by the settings' names."""
    config, task = inputs.config, inputs.task
    scored = rows_scored(config, len(task.labels), pool_rows)
    return {
        "student.steps": config.student.steps,
        "member.steps": config.member.steps,
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


def settle(
    inputs: Inputs, folder: Path, budget: Budget | None, observer: Observer, *, update: bool
) -> tuple[Inputs, dict[str, Any]]:
    """Return the inputs with the settings that a budget leads to, and what is kept of it.

    A run that goes on takes those that its folder has: it must end as it was begun.

    Args:
        folder: the run's; there may be none yet.
        budget: with none, a note says what a new run will take.
        update: let another budget into an old run folder.

    Raises:
        InputError: see `choose`; or the folder's run was begun with another budget.
    """
    begun = read_record(folder / "manifest.json")
    recorded = begun.get(RECORD)
    recorded = recorded if isinstance(recorded, dict) else {}
    if budget is None:
        if recorded:
            observer.note(
                f"this run was begun with --budget {recorded.get('time')}: without it, what other "
                "settings change is made again"
            )
        elif not begun:
            announce(inputs, observer)
        return inputs, {}
    if not recorded or (update and recorded.get("time") != budget.time):
        settings, line = _chosen_now(inputs, budget, observer)
        observer.note(line)
    elif recorded.get("time") == budget.time:
        kept = {*budget.kept, *changed_settings(inputs.config)}
        names = {name for name, _ in LADDER} | {"student_model", "student_revision"}
        known = dict(recorded.get("settings", {})).items()
        settings = {name: value for name, value in known if name in names - kept}
    else:
        raise InputError(
            Problem(
                "--budget",
                f"{recorded.get('time')}, with which this run was begun",
                budget.time,
                "give the same one, choose another --out, or add --update to choose settings anew",
            )
        )
    config = with_settings(inputs.config, settings)
    digests = {**inputs.digests, "student_model": model_digest(config.student_ref)}
    record = {"time": budget.time, "settings": settings}
    return replace(inputs, config=config, digests=digests), record


def _chosen_now(inputs: Inputs, budget: Budget, observer: Observer) -> tuple[dict[str, Any], str]:
    texts = _some_texts(inputs)
    if texts is None:  # the pool is refused when it is read
        return {}, ""
    rows = inputs.pool.count_rows()
    choice = choose(inputs, rows, lambda own: _measure(own, inputs, texts, observer), budget)
    return dict(choice.settings), choice.describe(budget.time)


def announce(inputs: Inputs, observer: Observer) -> None:
    """Note what a run takes; of a long one, how it could take less. Nothing of one of seconds."""
    rows, config = inputs.pool.count_rows(), inputs.config
    texts = _some_texts(inputs)
    if texts is None or count_weights(config.model_ref) * rows < TOO_LITTLE:
        return
    rates = _measure(config, inputs, texts, observer)
    whole = _longest(inputs, rows, rates)
    observer.note(
        f"this run takes about {about(whole.seconds)} here{_shorter(inputs, rows, rates, whole)}"
    )


def _shorter(inputs: Inputs, pool_rows: int, rates: Rates, whole: Estimate) -> str:
    """Name the budget, and the one setting that saves most."""
    if whole.seconds < LONG or inputs.config.preset == "paper":
        return ""
    before = _values(inputs, pool_rows)
    saved = {
        f"--set {name}={value:g}": whole.seconds
        - _longest(
            replace(inputs, config=with_settings(inputs.config, {name: value})), pool_rows, rates
        ).seconds
        for name, value in ALONE
        if value < before[name]
    }
    line = ": --budget 30m chooses settings that end in half an hour"
    if saved:
        most = max(saved, key=lambda name: saved[name])
        line += f"; {most} alone saves about {about(saved[most])}"
    return line


def _measure(config: RunConfig, inputs: Inputs, texts: Columns, observer: Observer) -> Rates:
    with observer.stage("timing the models", None, "models"):
        return measure_rates(config, inputs.task, texts)


def _some_texts(inputs: Inputs) -> Columns | None:
    """Draw usable rows of the pool's first batch; None where it has none."""
    batch = next(iter(inputs.pool.batches()), None)
    if batch is None or not len(batch):
        return None
    rows = np.random.default_rng(inputs.config.seed).permutation(len(batch))[:TIMED_ROWS]
    return {name: [texts[row] for row in rows] for name, texts in batch.columns.items()}
