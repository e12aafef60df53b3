"""`pet run`: the whole pipeline. Prefect is imported here only, and only when it is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import screens
from flows.commands.console import answer, err, out, stop
from flows.commands.options import (
    Debug,
    Json,
    LabelColumn,
    Model,
    Out,
    PoolPath,
    Settings,
    Task,
    Test,
    TextColumn,
)
from pet.config import RunConfig, make_config
from pet.errors import Problem
from pet.progress import Observer


def run(
    task: Task, pool: PoolPath, out_folder: Out,
    labeled: Annotated[
        str | None, typer.Option(help="labeled texts [default: none, a zero-shot start]")
    ] = None,
    test: Test = None,
    model: Model = None,
    student_model: Annotated[
        str | None, typer.Option(help="the student's model [default: the teacher's]")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="a sentence encoder: one more member of the ensemble")
    ] = None,
    preset: Annotated[str, typer.Option(help="default, fast or paper")] = "default",
    label_column: LabelColumn = None, text_column: TextColumn = None,
    setting: Settings = None,
    plain: Annotated[bool, typer.Option("--plain", help="without Prefect")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="let new inputs into an old run folder")
    ] = False,
    json_out: Json = False, debug: Debug = False,
) -> None:  # fmt: skip
    """Label a pool: train members, combine them, distil the student, write labels and report."""

    def work() -> None:
        stop.install()
        problems = _model_problems(model)
        config = make_config(
            {
                "task": task, "labeled": labeled, "pool": pool, "out": out_folder, "test": test,
                "model": "-" if model is None else model, "student_model": student_model,
                "encoder": encoder,
                "preset": preset, "label_column": label_column, "text_column": text_column,
            },
            tuple(setting or ()), problems,
        )  # fmt: skip
        if problems:
            _refuse(config, problems)
        observer = screens.progress(err, stop)
        report = _execute(config, observer, update, plain)
        if json_out:
            sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.result(out, report, Path(config.out))

    answer(work, debug)


def _execute(config: RunConfig, observer: Observer, update: bool, plain: bool) -> dict[str, Any]:
    if plain:
        from pet.pipeline import label_pool

        return label_pool(config, observer=observer, update=update)
    from flows.server import prepare

    prepare()  # before Prefect is imported: it reads its settings then
    from flows.label_pool import run_flow

    return run_flow(config, observer, update)


def _model_problems(model: str | None) -> list[Problem]:
    if model is not None:
        return []
    fix = "for example --model roberta-large, or the path of a local folder"
    return [Problem("--model", "a masked or causal language model", "nothing", fix)]


def _refuse(config: RunConfig, problems: list[Problem]) -> None:
    """Raise what is wrong with the command line, with what is wrong with the files."""
    from pet.inputs import read_inputs, read_tables

    if config.model == "-":
        read_tables(config, problems)
    else:
        read_inputs(config, problems=problems)
