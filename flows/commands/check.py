"""`pet check`: a look before any training."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from flows import screens
from flows.commands.console import answer, out
from flows.commands.options import (
    Debug,
    Json,
    LabelColumn,
    Labeled,
    Model,
    Settings,
    Task,
    Test,
    TextColumn,
)


def check(
    task: Task, labeled: Labeled,
    pool: Annotated[str | None, typer.Option("--pool", help="raw texts")] = None,
    test: Test = None, model: Model = None, label_column: LabelColumn = None,
    text_column: TextColumn = None, setting: Settings = None, json_out: Json = False,
    debug: Debug = False,
) -> None:  # fmt: skip
    """Look at a task and its data before any training: seconds, and nothing is written."""

    def work() -> None:
        from pet.check import check_inputs

        found = check_inputs(
            task, labeled, pool, test, model, label_column=label_column, text_column=text_column,
            settings=tuple(setting or ()),
        )  # fmt: skip
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            screens.preview(out, found)

    answer(work, debug)
