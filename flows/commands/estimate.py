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
from pet.errors import InputError, Problem
from pet.storage.locations import check_places

EXAMPLE = (
    "pet estimate RUN --answers 200 --out review.csv, then pet estimate RUN --answered review.csv; "
    "or pet estimate STORE --weekly"
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
    weekly: Annotated[
        bool, typer.Option("--weekly", help="of a store of nightly labels: shares by week")
    ] = False,
    csv: Csv = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Estimate each label's share of the pool: draw rows; later, take the answers to them."""

    def _by_week(store: str, others: list[str], level: float | None) -> None:
        from pet.nightly.weekly_shares import weekly_shares

        if others:
            expected = "--weekly, with --confidence or alone"
            raise InputError(Problem("pet estimate", expected, ", ".join(others), EXAMPLE))
        check_places(stores=False, store=store)
        found = weekly_shares(Path(store), 0.95 if level is None else level)
        if json_out:
            print_record({"weeks": found})
        else:
            certificate_screen.weeks(out, found, 0.95 if level is None else level)

    def work() -> None:
        if weekly:
            others = {"--answers": answers, "--out": out_file, "--answered": answered, "--csv": csv}
            _by_week(folder, [name for name, own in others.items() if own is not None], confidence)
            return
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
            certificate_screen.drawn_for_shares(out, draw.record, out_file, step, len(draw.answers))
        elif answered is not None:
            level = 0.95 if confidence is None else confidence
            found = shares.estimate(run, Path(answered), observer, level, read_csv(csv))
            if json_out:
                print_record(found)
            else:
                certificate_screen.shares(out, found)

    answer(work, debug)
