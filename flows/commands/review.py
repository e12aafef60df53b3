"""`pet review`: rows out to people, their answers back in."""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.console import answer, err, out, stop
from flows.commands.options import Csv, Debug, Json, RunFolder
from flows.screens import results as screens
from pet.config import CsvConfig
from pet.errors import InputError, Problem
from pet.settings import read_csv_options
from pet.storage.locations import check_places, place_problem


def review(
    folder: RunFolder,
    rows: Annotated[int | None, typer.Option(help="how many rows to choose")] = None,
    out_file: Annotated[
        str | None, typer.Option("--out", help="the file for them: .csv, .jsonl or .json")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="csv, jsonl, label-studio or argilla", show_default="by the file's ending"
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="coverage: one row of each kind, for the next run; "
            "doubt: rows of low confidence, whose labels are most often wrong",
            show_default="coverage",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="for another choice of rows")] = None,
    answers: Annotated[
        str | None, typer.Option(help="the file with people's answers, to be taken back")
    ] = None,
    labeled: Annotated[
        str | None,
        typer.Option(help="the new labeled set", show_default="beside the run folder"),
    ] = None,
    csv: Csv = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Choose rows worth a person's time; later, take the answers into the labeled set."""

    def work() -> None:
        _check_options(
            rows,
            out_file,
            answers,
            {"--labeled": labeled, "--csv": csv},
            {"--format": format, "--by": by, "--seed": seed},
        )
        named = {"out": out_file, "answers": answers, "labeled": labeled}
        given = {name: place for name, place in named.items() if place is not None}
        check_places(stores=False, **given)
        stop.install()
        if problem := place_problem("RUN", folder):
            raise InputError(problem)
        run = Path(folder)
        if run.name in ("", ".."):  # a run is called by its folder's name, which `.` is not
            run = run.resolve()
        if rows is not None and out_file is not None:
            _hand_out(run, rows, Path(out_file), format, by, seed, json_out)
        elif answers is not None:
            _take_back(run, Path(answers), Path(labeled) if labeled else None, csv, json_out)

    answer(work, debug)


def _check_options(
    rows: int | None,
    out_file: str | None,
    answers: str | None,
    for_answers: dict[str, Any],
    for_rows: dict[str, Any],
) -> None:
    """Refuse options that do not go together: rows go out, or answers come in."""
    outward = {"--rows": rows, "--out": out_file}
    if answers is not None:
        alien = [name for name, given in {**outward, **for_rows}.items() if given is not None]
        expected = "--answers alone, or with --labeled"
    else:
        alien = [name for name, given in for_answers.items() if given is not None]
        expected = "--rows and --out, or --answers"
    missing = [name for name, given in outward.items() if given is None and answers is None]
    if alien or missing:
        found = ", ".join([*alien, *(f"no {name}" for name in missing)])
        raise InputError(
            Problem(
                "pet review",
                expected,
                found,
                "pet review RUN --rows 50 --out review.csv, "
                "then pet review RUN --answers review.csv",
            )
        )


def _hand_out(
    folder: Path,
    rows: int,
    out_file: Path,
    format: str | None,
    by: str | None,
    seed: int | None,
    json_out: bool,
) -> None:
    from pet.reviewing.review_rows import write_review

    files, chosen = write_review(
        folder,
        out_file,
        rows,
        screens.progress(err, stop),
        format=format,
        by=by or "coverage",
        seed=seed,
    )
    counts = dict(Counter(row.label for row in chosen))
    if json_out:
        found = {"files": list(map(str, files)), "rows": len(chosen), "counts": counts}
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return
    shares = ", ".join(f"{label} {count}" for label, count in counts.items())
    lines = [f"{len(chosen)} rows, by predicted label: {shares}"]
    if len(chosen) < rows:
        lines.append(f"fewer than {rows}: the others are known already, or all but the same")
    lines += [f"written    {path}" for path in files]
    step, answers = _next_step(out_file, files)
    lines.append(step)
    lines.append(f"  pet review {shlex.quote(str(folder))} --answers {shlex.quote(str(answers))}")
    _print(lines)


def _next_step(out_file: Path, files: list[Path]) -> tuple[str, Path]:
    """Describe what a person does with the file, and where the answers will be."""
    if out_file.suffix.lower() != ".json":
        return "write a label into `answer`; leave it empty where none fits. Then:", out_file
    tool, interface = "Argilla", ""
    if len(files) > 1:
        tool, interface = "Label Studio", f"{files[1].name} is the labeling interface; "
    answers = out_file.with_name(f"{out_file.stem}-answers.json")
    import_it = f"{interface}import {out_file.name} into {tool}, answer there, "
    return f"{import_it}export as JSON to {answers.name}. Then:", answers


def _take_back(
    folder: Path, answers: Path, labeled: Path | None, csv: list[str] | None, json_out: bool
) -> None:
    from pet.reviewing.reviewed import take_answers

    given = read_csv_options(csv or ()) or CsvConfig()
    taken = take_answers(folder, answers, labeled, screens.progress(err, stop), given)
    if json_out:
        found = {**asdict(taken), "path": str(taken.path)}
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return
    _print(
        [
            f"{taken.added} rows added, {taken.corrected} corrected, {taken.confirmed} confirmed; "
            f"{taken.unanswered} without an answer",
            f"written    {taken.path}",
            "to run with them:",
            f"  {taken.next_command}",
        ]
    )


def _print(lines: list[str]) -> None:
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
