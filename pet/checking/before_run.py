"""Before the first stage of a run: what it will take, and settings for the time that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pet.checking.budget import LADDER, choose, longest, values_of, with_settings
from pet.checking.estimate import Estimate, about
from pet.checking.rates import TIMED_ROWS, Rates, measure_rates
from pet.config import Budget, RunConfig
from pet.errors import InputError, Problem
from pet.inputs.inputs import Inputs
from pet.models.loading import count_weights, model_digest
from pet.models.scoring import Columns
from pet.progress import Observer
from pet.settings import changed_settings
from pet.storage.files import read_record

LONG = 3600.0  # seconds of a run from which a note says how to take less

# Of these, the one that saves most is named then.
ALONE: tuple[tuple[str, int], ...] = (
    ("generations", 0),
    ("unlabeled_rows", 2_000),
    ("student.steps", 300),
    ("member.steps", 50),
)

TOO_LITTLE = 1e8  # the teacher's weights times the pool's rows: the run takes seconds


def settle(
    inputs: Inputs,
    folder: Path,
    budget: Budget | None,
    observer: Observer,
    *,
    update: bool,
    jobs: int = 1,
) -> tuple[Inputs, dict[str, Any]]:
    """Return the inputs with the settings that a budget leads to, and what is kept of it.

    A run that goes on takes those that its folder has: it must end as it was begun.

    Args:
        folder: the run's; there may be none yet.
        budget: with none, a note says what a new run will take.
        update: let another budget into an old run folder.
        jobs: how many are done side by side.

    Raises:
        InputError: see `choose`; or the folder's run was begun with another budget.
    """
    begun = read_record(folder / "manifest.json")
    before = begun.get("budget") or {}
    if budget is None:
        if before:
            observer.note(
                f"this run was begun with --budget {before['time']}: what depends on other "
                "settings is made again without it"
            )
        elif not begun:
            announce(inputs, observer, jobs)
        return inputs, {}
    if before and before["time"] == budget.time:
        settings = _kept_settings(inputs.config, budget, before["settings"])
        observer.note(f"--budget {budget.time}: settings as they were chosen for it before")
    elif before and not update:
        raise InputError(
            Problem(
                "--budget",
                f"{before['time']}, with which this run was begun",
                budget.time,
                "give the same one, choose another --out, or add --update to choose settings anew",
            )
        )
    else:
        settings = _choose_now(inputs, budget, observer, jobs)
    config = with_settings(inputs.config, settings)
    digests = dict(inputs.digests)
    if not config.linear_student:
        digests["student_model"] = model_digest(config.student_ref)
    chosen = {"time": budget.time, "settings": settings}
    return replace(inputs, config=config, digests=digests), chosen


def _kept_settings(config: RunConfig, budget: Budget, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that were chosen before, but for those that the user gives by now."""
    may_be_chosen = {name for name, _ in LADDER} | {"student_model"}
    own = {*budget.kept, *changed_settings(config)}
    return {name: value for name, value in before.items() if name in may_be_chosen - own}


def _choose_now(inputs: Inputs, budget: Budget, observer: Observer, jobs: int) -> dict[str, Any]:
    texts = _some_texts(inputs)
    if texts is None:  # the pool is refused when it is read
        return {}
    rows = inputs.pool.count_rows()
    choice = choose(inputs, rows, lambda own: _measure(own, inputs, texts, observer, jobs), budget)
    observer.note(choice.describe(budget.time))
    return dict(choice.settings)


def announce(inputs: Inputs, observer: Observer, jobs: int = 1) -> None:
    """Note what a run takes; of a long one, how it could take less. Nothing of one of seconds."""
    rows, config = inputs.pool.count_rows(), inputs.config
    texts = _some_texts(inputs)
    if texts is None or count_weights(config.model_ref) * rows < TOO_LITTLE:
        return
    rates = _measure(config, inputs, texts, observer, jobs)
    whole = longest(inputs, rows, rates)
    observer.note(
        f"this run takes about {about(whole.seconds)} here{_shorter(inputs, rows, rates, whole)}"
    )


def _shorter(inputs: Inputs, pool_rows: int, rates: Rates, whole: Estimate) -> str:
    """Name the budget, and the one setting that saves most."""
    if whole.seconds < LONG or inputs.config.preset == "paper":
        return ""
    before = values_of(inputs, pool_rows)
    saved = {
        f"--set {name}={value:g}": whole.seconds
        - longest(
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


def _measure(
    config: RunConfig, inputs: Inputs, texts: Columns, observer: Observer, jobs: int
) -> Rates:
    with observer.stage("timing the models", None, "models"):
        return measure_rates(config, inputs.task, texts, jobs)


def _some_texts(inputs: Inputs) -> Columns | None:
    """Draw usable rows of the pool's first batch; None where it has none."""
    batch = next(iter(inputs.pool.batches()), None)
    if batch is None or not len(batch):
        return None
    rows = np.random.default_rng(inputs.config.seed).permutation(len(batch))[:TIMED_ROWS]
    return {name: [texts[row] for row in rows] for name, texts in batch.columns.items()}
