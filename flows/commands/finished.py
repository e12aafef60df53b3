"""`pet label`, `pet predict`, `pet evaluate`: predictions by a finished run."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import answer, err, out, stop
from flows.commands.options import (
    Csv,
    Debug,
    Json,
    LabelColumn,
    PoolPath,
    RunFolder,
    TextColumn,
    With,
)
from flows.screens import results as screens
from pet.errors import InputError, Problem
from pet.settings import read_csv_options
from pet.storage.locations import check_places
from pet.storage.mirrors import fetch_run
from pet.tasks.task import shipped_tasks


def label(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="the folder of a run; with --zero-shot, a task")
    ],
    pool: PoolPath,
    out_folder: Annotated[str, typer.Option("--out", help="the folder for the label files")],
    who: Annotated[
        str | None, typer.Option("--with", help="student (the default) or ensemble")
    ] = None,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="with a task's patterns and --model; no run needed")
    ] = False,
    model: Annotated[str | None, typer.Option(help="for --zero-shot: an id or a folder")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="for --zero-shot")] = None,
    text_column: TextColumn = None,
    csv: Csv = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Label a pool with a finished run's student or ensemble, or with an untrained model."""

    def work() -> None:
        _check_label_options(source, who, zero_shot, model, setting)
        check_places(stores=True, pool=pool, out=out_folder)
        stop.install()
        observer = screens.progress(err, stop)
        written_as = read_csv_options(csv or ())
        if zero_shot:
            from pet.checking.zero_shot import label_zero_shot

            written, reused, counts = label_zero_shot(
                source,
                pool,
                out_folder,
                model or "",
                observer,
                text_column=text_column,
                settings=(*(setting or ()), *(f"pool_csv.{pair}" for pair in csv or ())),
            )
        else:
            from pet.finished.inference import label_new_pool

            written, reused, counts = label_new_pool(
                fetch_run(source, parts=parts_of(who)).path,
                pool,
                out_folder,
                who or "student",
                text_column,
                observer,
                written_as,
            )
        if json_out:
            sys.stdout.write(json.dumps(counts, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.labels(out, counts, out_folder, written, reused)

    answer(work, debug)


def parts_of(who: str | None = "student") -> tuple[str, ...] | None:
    """Name the folders of a run that a prediction needs: all of them, but for the student."""
    return ("student",) if who in (None, "student") else None


def _check_label_options(
    source: str, who: str | None, zero_shot: bool, model: str | None, setting: list[str] | None
) -> None:
    """Refuse options that do not go together: a run has its model and settings, a task has none."""
    problems = []
    if zero_shot and model is None:
        problems.append(
            Problem(
                "--zero-shot",
                "a language model",
                "no --model",
                "--model .cache/models/bert-tiny, or an id such as roberta-large",
            )
        )
    if zero_shot and who is not None:
        problems.append(
            Problem(
                "--zero-shot",
                "no --with: neither student nor ensemble is there",
                repr(who),
                "leave out --with, or --zero-shot",
            )
        )
    for option, given in (("--model", model), ("--set", ", ".join(setting or ()))):
        if given and not zero_shot:
            problems.append(
                Problem(
                    option,
                    "a run's own model and settings",
                    given,
                    f"leave out {option}, or label without a run: --zero-shot --model REF",
                )
            )
    is_task = source.endswith(".toml") or source in shipped_tasks()
    if not zero_shot and is_task and not Path(source).is_dir():
        problems.append(
            Problem(
                source,
                "the folder of a finished run",
                "a task",
                "to label without a run, add --zero-shot --model REF",
            )
        )
    if problems:
        raise InputError(problems)


TEXTS = (
    "texts; - reads them, a line each. Several fields stand in the task's order, a tab in between"
)

_OPTION = re.compile(r"--?[A-Za-z][\w-]*(=.*)?", re.DOTALL)  # a word that is no text, but a slip


def predict(
    folder: RunFolder,
    texts: Annotated[list[str], typer.Argument(help=TEXTS)],
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Predict the labels of some texts with the student."""

    def work() -> None:
        from pet.finished.inference import predict_texts

        given = _lines_of_stdin() if texts == ["-"] else texts
        if slips := [text for text in texts if _OPTION.fullmatch(text)]:
            raise InputError(
                Problem(
                    "pet predict",
                    "--json, --debug, or a text",
                    slips[0],
                    "correct the option; a text like this is read from standard input, with -",
                )
            )
        found = predict_texts(fetch_run(folder, parts=parts_of()).path, given)
        if json_out:
            sys.stdout.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        else:
            screens.predictions(out, found)

    answer(work, debug)


def _lines_of_stdin() -> list[str]:
    """Read texts as a command line has them: what is no UTF-8 comes too, and is refused there.

    Blank lines are none: a file often ends in one.
    """
    text = sys.stdin.buffer.read().decode("utf-8-sig", "surrogateescape")
    lines = (line.rstrip("\n") for line in io.StringIO(text, newline=None))
    return [line for line in lines if line.strip()]


def evaluate(
    folder: RunFolder,
    test: Annotated[str, typer.Option(help="labeled texts")],
    who: With = "student",
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    csv: Csv = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a finished run's student or ensemble on labeled texts."""

    def work() -> None:
        from pet.finished.inference import evaluate_run

        check_places(stores=True, test=test)
        found = evaluate_run(
            fetch_run(folder, parts=parts_of(who)).path,
            test,
            who,
            screens.progress(err, stop),
            label_column=label_column,
            text_column=text_column,
            csv=read_csv_options(csv or ()),
        )
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.evaluation(out, found)

    answer(work, debug)
