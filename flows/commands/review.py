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
from flows.commands.review_page import Choice, serve_rows
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
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="label the rows of --out in the browser, on a page of our own"
        ),
    ] = False,
    port: Annotated[
        int | None, typer.Option(help="of the page, on this machine", show_default="a free one")
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="the page begins with predicted labels hidden")
    ] = False,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Choose rows worth a person's time; later, take the answers into the labeled set."""

    def work() -> None:
        choice = {"--rows": rows, "--out": out_file, "--by": by, "--seed": seed}
        hidden = {"--blind": blind or None}
        _check_options(
            "answers" if answers is not None else "page" if serve else "file",
            {
                "answers": {"--answers": answers, "--labeled": labeled, "--csv": csv},
                "page": {"--serve": serve or None, "--port": port, **choice, **hidden},
                "file": {**choice, "--format": format},
            },
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
        if serve:
            serve_rows(
                run,
                Path(out_file) if out_file else None,
                Choice(rows, by or "coverage", seed),
                port or 0,
                blind,
                json_out,
            )
        elif rows is not None and out_file is not None:
            _hand_out(run, rows, Path(out_file), format, by, seed, json_out)
        elif answers is not None:
            _take_back(run, Path(answers), Path(labeled) if labeled else None, csv, json_out)

    answer(work, debug)


NEEDED = {"answers": ("--answers",), "page": ("--serve",), "file": ("--rows", "--out")}

USES = {
    "answers": "--answers alone, or with --labeled",
    "page": "--serve, with --rows, --out or --port",
    "file": "--rows and --out, or --answers",
}


def _check_options(use: str, options: dict[str, dict[str, Any]]) -> None:
    """Refuse options that do not go together: rows go out, to a page or a file, or answers come in.

    Args:
        options: for each use, the options that it takes.
    """
    given = {name for own in options.values() for name, value in own.items() if value is not None}
    alien = [name for own in options.values() for name in own if name in given - set(options[use])]
    missing = [name for name in NEEDED[use] if name not in given]
    if alien or missing:
        found = ", ".join([*dict.fromkeys(alien), *(f"no {name}" for name in missing)])
        raise InputError(
            Problem(
                "pet review",
                USES[use],
                found,
                "pet review RUN --rows 50 --out review.csv, "
                "then pet review RUN --answers review.csv; or pet review RUN --serve",
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
    from pet.reviewing.answer_form import NONE, AnswerForm
    from pet.reviewing.review_rows import write_review
    from pet.tasks.task import load_task

    files, chosen = write_review(
        folder,
        out_file,
        rows,
        screens.progress(err, stop),
        format=format,
        by=by or "coverage",
        seed=seed,
    )
    form = AnswerForm.of(load_task(folder.absolute() / "task.toml"))
    counts = dict(Counter(name for row in chosen for name in form.names(row.label) or [NONE]))
    if json_out:
        found = {"files": list(map(str, files)), "rows": len(chosen), "counts": counts}
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return
    shares = ", ".join(f"{label} {count}" for label, count in counts.items())
    lines = [f"{len(chosen)} rows, by predicted label: {shares}"]
    if len(chosen) < rows:
        lines.append(f"fewer than {rows}: the others are known already, or all but the same")
    lines += [f"written    {path}" for path in files]
    step, answers = _next_step(out_file, files, form.several)
    lines.append(step)
    lines.append(f"  pet review {shlex.quote(str(folder))} --answers {shlex.quote(str(answers))}")
    _print(lines)


def _next_step(out_file: Path, files: list[Path], several: bool) -> tuple[str, Path]:
    """Describe what a person does with the file, and where the answers will be."""
    if out_file.suffix.lower() != ".json" and several:
        how = 'write a list of labels into `answer`, such as ["a", "b"], and [] for none of them'
        return f"{how}. Then:", out_file
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
            *([f"warning: {taken.unused}"] if taken.unused else []),
            "to run with them:",
            f"  {taken.next_command}",
        ]
    )


def _print(lines: list[str]) -> None:
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
