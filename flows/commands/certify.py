"""`pet certify`: rows drawn at random out to people, a bound on wrong labels back."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.console import answer, err, out, stop
from flows.commands.options import Csv, Debug, Json, RunFolder
from flows.screens import certificates as certificate_screen
from flows.screens import results as screens
from pet.config import CsvConfig
from pet.errors import InputError, Problem
from pet.settings import read_csv_options
from pet.storage.locations import check_places, place_problem

EXAMPLE = (
    "pet certify RUN --error 0.05 --answers 200 --out review.csv, "
    "then pet certify RUN --answered review.csv"
)


def certify(
    folder: RunFolder,
    error: Annotated[
        float | None,
        typer.Option(help="share of wrong labels not to be exceeded", show_default="0.05"),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="with which this is to hold", show_default="0.95")
    ] = None,
    answers: Annotated[
        int | None, typer.Option(help="how many rows to draw", show_default="200")
    ] = None,
    guarantee: Annotated[
        str | None,
        typer.Option(
            help="kept: of the labels above the threshold; "
            "whole: of all labels, when people read the rows below it",
            show_default="kept",
        ),
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="to be certified for each label, too: 0.9")
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
    """Certify labels: draw rows for people to label; later, take the answers to them."""

    def work() -> None:
        from pet.certifying.drawing import Request

        given: dict[str, Any] = {"error": error, "confidence": confidence, "answers": answers}
        given |= {"guarantee": guarantee, "precision": precision}
        wanted = {name: value for name, value in given.items() if value is not None}
        alien = ["--csv"] if answered is None and csv is not None else []
        if answered is not None:
            alien += [f"--{name}" for name in wanted]
        run = open_way("pet certify", folder, out_file, answered, alien, EXAMPLE)
        if out_file is not None:
            _draw(run, Path(out_file), Request(**wanted), json_out)
        elif answered is not None:
            _take(run, Path(answered), csv, json_out)

    answer(work, debug)


def open_way(
    command: str,
    folder: str,
    out_file: str | None,
    answered: str | None,
    alien: list[str],
    example: str,
) -> Path:
    """Check that rows go out, or answers come in; return the run's folder.

    Args:
        alien: options of the other way that were given.

    Raises:
        InputError: neither or both, options of the other way, or a place that is none.
    """
    if alien or (out_file is None) == (answered is None):
        found = ", ".join(alien) or ("both" if out_file else "neither")
        expected = "--answered alone" if answered and not out_file else "--out, or --answered"
        raise InputError(Problem(command, expected, found, example))
    places = {"out": out_file, "answered": answered}
    check_places(stores=False, **{name: own for name, own in places.items() if own})
    stop.install()
    if problem := place_problem("RUN", folder):
        raise InputError(problem)
    run = Path(folder)
    return run.resolve() if run.name in ("", "..") else run


def print_record(record: dict[str, Any]) -> None:
    """Print what `--json` asks for."""
    sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def next_step(command: str, run: Path, out_file: Path) -> str:
    """Write the command that takes the answers."""
    return f"{command} {shlex.quote(str(run))} --answered {shlex.quote(str(out_file))}"


def read_csv(csv: list[str] | None) -> CsvConfig:
    """Read how the file of answers is written."""
    return read_csv_options(csv or ()) or CsvConfig()


def _draw(run: Path, out_file: Path, request: object, json_out: bool) -> None:
    from pet.certifying.drawing import draw_rows

    draw = draw_rows(run, out_file, request, screens.progress(err, stop))  # type: ignore[arg-type]
    if json_out:
        print_record({"out": str(out_file), **draw.record})
        return
    step = next_step("pet certify", run, out_file)
    certificate_screen.drawn(out, draw.record, out_file, step, len(draw.answers))


def _take(run: Path, answered: Path, csv: list[str] | None, json_out: bool) -> None:
    from pet.certifying.certificates import take_certificate

    found = take_certificate(run, answered, screens.progress(err, stop), read_csv(csv))
    if json_out:
        print_record(found)
    else:
        certificate_screen.certificate(out, found)
