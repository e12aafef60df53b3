"""`pet check`: a look before any training."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from flows.commands.console import answer, out
from flows.commands.options import (
    Debug,
    Json,
    LabelColumn,
    Model,
    Preset,
    Settings,
    Task,
    Test,
    TextColumn,
    Time,
)
from flows.screens import preview as preview_screen


def check(
    task: Task,
    labeled: Annotated[
        str | None, typer.Option(help="labeled texts: CSV, JSONL or Parquet")
    ] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="raw texts")] = None,
    test: Test = None,
    model: Model = None,
    student_model: Annotated[str | None, typer.Option(help="the student's model")] = None,
    encoder: Annotated[str | None, typer.Option(help="a sentence encoder")] = None,
    preset: Preset = None,
    label_column: LabelColumn = None,
    text_column: TextColumn = None,
    setting: Settings = None,
    budget: Time = None,
    suggest_words: Annotated[
        bool, typer.Option("--suggest-words", help="search label words by the labeled rows")
    ] = False,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Look at a task and its data before any training: seconds, and nothing is written."""

    def work() -> None:
        from pet.checking.check import check_inputs

        found = check_inputs(
            {
                "task": task,
                "labeled": labeled,
                "pool": pool,
                "test": test,
                "model": model,
                "student_model": student_model,
                "encoder": encoder,
                "preset": preset,
                "label_column": label_column,
                "text_column": text_column,
            },
            tuple(setting or ()),
            budget,
            with_words=suggest_words,
        )
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            preview_screen.show(out, found)

    answer(work, debug)
