"""`pet estimate`: rows drawn at random out to people, shares of labels with intervals back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.certify import next_step, open_way, print_record, read_csv
from flows.commands.console import answer, err, out, stop
from flows.commands.options import Csv, Debug, Json, RunFolder
from flows.screens import certificates as certificate_screen
from flows.screens import results as screens

EXAMPLE = (
    "pet estimate RUN --answers 200 --out review.csv, then pet estimate RUN --answered review.csv"
)


def estimate(
    folder: RunFolder,
    answers: Annotated[
        int | None, typer.Option(help="how many rows to draw", show_default="200")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="of the intervals", show_default="0.95")
    ] = None,
    out_file: Annotated[
        str | None, typer.Option("--out", help="the file for the rows: .csv, .jsonl or .json")
    ] = None,
    answered: Annotated[
        str | None, typer.Option(help="the file with people's answers, to be taken")
    ] = None,
    csv: Csv = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Estimate each label's share of the pool: draw rows; later, take the answers to them."""

    def work() -> None:
        from pet.certifying import shares

        alien = [] if answered is None or answers is None else ["--answers"]
        if answered is None:
            alien += [
                name
                for name, given in {"--csv": csv, "--confidence": confidence}.items()
                if given is not None
            ]
        run = open_way("pet estimate", folder, out_file, answered, alien, EXAMPLE)
        observer = screens.progress(err, stop)
        if out_file is not None:
            draw = shares.draw_for_shares(
                run, Path(out_file), 200 if answers is None else answers, observer
            )
            if json_out:
                print_record({"out": out_file, **draw.record})
                return
            step = next_step("pet estimate", run, Path(out_file))
            certificate_screen.drawn_for_shares(out, draw.record, out_file, step)
        elif answered is not None:
            level = 0.95 if confidence is None else confidence
            found = shares.estimate(run, Path(answered), observer, level, read_csv(csv))
            if json_out:
                print_record(found)
            else:
                certificate_screen.shares(out, found)

    answer(work, debug)
