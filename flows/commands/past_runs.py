"""`pet runs`: list them, or show one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import answer, out
from flows.commands.options import Debug, Json, RunFolder
from flows.screens import nights as night_screen
from flows.screens import runs as run_screens
from pet.storage.locations import check_places

app = typer.Typer(no_args_is_help=False, help="List runs, or show one.")


@app.callback(invoke_without_command=True)
def runs_list(
    context: typer.Context,
    under: Annotated[str, typer.Option("--under", help="where run folders lie")] = "runs",
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """List the runs in a folder."""

    def work() -> None:
        from pet.finished.past_runs import list_runs

        check_places(under=under)
        rows = list_runs(Path(under))
        if json_out:
            sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        else:
            run_screens.run_list(out, rows, Path(under))

    if context.invoked_subcommand is None:
        answer(work, debug)


@app.command("show")
def runs_show(folder: RunFolder, json_out: Json = False, debug: Debug = False) -> None:
    """Show one run, or a store of nightly labels: what it made, from what, how good, and when."""

    def work() -> None:
        from pet.nightly.ledger import describe, is_store
        from pet.storage.mirrors import fetch_run

        run = fetch_run(folder, parts=())
        if is_store(run.path):
            about = describe(run.path)
            if json_out:
                sys.stdout.write(json.dumps(about, indent=2, ensure_ascii=False) + "\n")
            else:
                night_screen.store(out, about)
            return
        from pet.finished.past_runs import show_run

        found = show_run(run.path)
        if found["certificate"]:
            from pet.certifying.certificates import void_since

            found["certificate_void"] = void_since(run.path, found["certificate"])
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            run_screens.run_record(out, found, run)

    answer(work, debug)
