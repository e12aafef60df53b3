"""`pet transfer`: accuracy of one run's adapters on the tasks of others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import answer, err, out, stop
from flows.commands.options import Debug, Json
from flows.screens import results as screens
from flows.screens import transfer as transfer_screen
from pet.storage.locations import check_places


def transfer(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="runs of adapters, two or more")
    ],
    out_folder: Annotated[
        str | None, typer.Option("--out", help="a folder for transfer.html and transfer.json")
    ] = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Compare the adapters of runs on one model; evaluate each run's on the others' tasks."""

    def work() -> None:
        from pet.finished.transfer import measure_transfer
        from pet.reporting.transfer_page import write_transfer

        if out_folder is not None:
            check_places(out=out_folder)
        stop.install()
        found = measure_transfer(runs, screens.progress(err, stop))
        page = None if out_folder is None else write_transfer(found, Path(out_folder))
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
            return
        transfer_screen.transfer(out, found)
        if page is not None:
            out.print(str(page), markup=False, highlight=False, soft_wrap=True)

    answer(work, debug)
