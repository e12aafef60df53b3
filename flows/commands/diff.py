"""`pet diff`: two sets of labels side by side."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from flows.commands.console import answer, out
from flows.commands.options import Debug, Json
from flows.screens import diff as diff_screen

Labels = typer.Argument(help="a run, or a folder of label files")


def diff(
    before: Annotated[str, Labels],
    after: Annotated[str, Labels],
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Show what changed from one run's labels to another's, row by row."""

    def work() -> None:
        from pet.finished.comparison import compare_labels
        from pet.storage.mirrors import fetch_run
        from pet.storage.run_folders import ALL_LABELS

        sides = [fetch_run(place, ALL_LABELS, parts=("labels",)) for place in (before, after)]
        found = compare_labels(*(side.path for side in sides))
        found["before"]["path"], found["after"]["path"] = map(str, sides)
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            diff_screen.diff(out, found)

    answer(work, debug)
