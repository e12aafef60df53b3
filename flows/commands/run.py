"""`pet run`: the whole pipeline. Prefect is imported here only, and only when it is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from flows.commands.console import answer, err, out, stop
from flows.commands.options import (
    Debug,
    Json,
    LabelColumn,
    Model,
    Out,
    PoolPath,
    Preset,
    Settings,
    Task,
    Test,
    TextColumn,
    Time,
)
from flows.runtime.ray_workers import RayOptions
from flows.runtime.workers import workers_of
from flows.screens import results as screens
from pet.config import Budget, RunConfig
from pet.errors import Problem, gather
from pet.jobs import InProcess
from pet.progress import Observer
from pet.settings import make_config, read_budget
from pet.storage.mirrors import open_run_folder


class Runner(StrEnum):
    """Where jobs are done."""

    here = "here"
    ray = "ray"


def run(
    task: Task,
    pool: PoolPath,
    out_folder: Out,
    labeled: Annotated[
        str | None,
        typer.Option(help="labeled texts", show_default="none, a zero-shot start"),
    ] = None,
    test: Test = None,
    model: Model = None,
    student_model: Annotated[
        str | None, typer.Option(help="the student's model", show_default="the teacher's")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="a sentence encoder: one more member of the ensemble")
    ] = None,
    preset: Preset = None,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    setting: Settings = None,
    budget: Time = None,
    plain: Annotated[bool, typer.Option("--plain", help="without Prefect")] = False,
    runner: Annotated[
        Runner, typer.Option(help="where jobs are done: here, or by a Ray cluster")
    ] = Runner.here,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="jobs side by side on this machine, each in a process of its own",
            show_default="one a core for models of 1 to 20 million weights, or else 1",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="of the Ray cluster", show_default="one on this machine alone"),
    ] = None,
    cpus_per_job: Annotated[
        float | None, typer.Option(help="CPUs of a job on Ray", show_default="1")
    ] = None,
    gpus_per_job: Annotated[
        float | None,
        typer.Option(help="GPUs of a job on Ray", show_default="1, where there are any"),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="let new inputs into an old run folder")
    ] = False,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Label a pool: train members, combine them, distil the student, write labels and report."""

    def work() -> None:
        stop.install()
        observer = screens.progress(err, stop)
        problems = _model_problems(model)
        values = {
            "task": task,
            "labeled": labeled,
            "pool": pool,
            "out": out_folder,
            "test": test,
            "model": "-" if model is None else model,
            "student_model": student_model,
            "encoder": encoder,
            "preset": preset,
            "label_column": label_column,
            "text_column": text_column,
        }

        def make(more: dict[str, str]) -> RunConfig:
            if more:  # what is wrong, or of a former version, was reported the first time
                return make_config({**values, **more}, tuple(setting or ()), [], lambda line: None)
            return make_config(values, tuple(setting or ()), problems, warn)

        def warn(line: str) -> None:
            observer.note(f"warning: {line}")

        config = _with_preset(make, observer, preset, model, budget)
        ray = _ray_options(runner, address, cpus_per_job, gpus_per_job, problems)
        if runner is Runner.ray and jobs is not None:
            found, fix = (
                "--runner ray beside it",
                "leave it out: a cluster has its own",
            )
            problems.append(Problem("--jobs", "jobs on this machine alone", found, fix))
        time = (
            None if budget is None else gather(problems, lambda: read_budget(budget, setting or ()))
        )
        if problems:
            _refuse(config, problems)
        report = _execute(config, observer, update, plain, ray, jobs, time)
        if json_out:
            sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.result(out, report, open_run_folder(config.out))

    answer(work, debug)


def _ray_options(
    runner: Runner,
    address: str | None,
    cpus: float | None,
    gpus: float | None,
    problems: list[Problem],
) -> RayOptions | None:
    named = {"address": address, "cpus_per_job": cpus, "gpus_per_job": gpus}
    given = {name: value for name, value in named.items() if value is not None}
    options = [f"--{name.replace('_', '-')}" for name in given]
    if runner is Runner.here:
        problems += [
            Problem(
                option,
                "--runner ray beside it",
                "the runner of this process",
                "add --runner ray, or leave it out",
            )
            for option in options
        ]
        return None
    try:
        return RayOptions.model_validate(given)
    except ValidationError as error:
        problems += [
            Problem(
                f"--{str(wrong['loc'][0]).replace('_', '-')}",
                "a number above 0 (of GPUs: or 0)",
                str(wrong["input"]),
                "correct it",
            )
            for wrong in error.errors()
        ]
        return None


def _with_preset(
    make: Callable[[dict[str, str]], RunConfig],
    observer: Observer,
    preset: str | None,
    model: str | None,
    budget: str | None,
) -> RunConfig:
    """Choose a preset where none but `fast` is named; without a model there is no choice."""
    if preset not in (None, "fast") or model is None:
        return make({})
    from pet.inputs.presets import with_preset

    return with_preset(make, observer.note, budgeted=budget is not None)


def _execute(
    config: RunConfig,
    observer: Observer,
    update: bool,
    plain: bool,
    ray: RayOptions | None,
    jobs: int | None,
    budget: Budget | None,
) -> dict[str, Any]:
    count = 1 if ray is not None else jobs or _count_jobs(config)
    if plain:
        from pet.pipeline import label_pool

        with workers_of(observer, count, ray) as workers:
            return label_pool(
                config,
                InProcess(workers),
                observer,
                update=update,
                budget=budget,
                estimated=ray is None,
            )
    from flows.runtime.server import prepare

    prepare()  # before Prefect is imported: it reads its settings then
    from flows.label_pool import run_flow

    return run_flow(config, observer, update, ray, budget, count)


def _count_jobs(config: RunConfig) -> int:
    from pet.inputs.job_count import count_jobs  # torch, in seconds

    return count_jobs(config)


def _model_problems(model: str | None) -> list[Problem]:
    if model is not None:
        return []
    fix = "for example --model roberta-large, or the path of a local folder"
    return [Problem("--model", "a masked or causal language model", "nothing", fix)]


def _refuse(config: RunConfig, problems: list[Problem]) -> None:
    """Raise what is wrong with the command line, with what is wrong with the files."""
    from pet.inputs.reading import read_inputs
    from pet.inputs.run_tables import read_tables

    if config.model == "-":
        read_tables(config, problems)
    else:
        read_inputs(config, problems=problems)
