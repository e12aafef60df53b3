"""`pet export`: a finished run's results for other programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.commands.console import answer, err, out, stop
from flows.commands.options import Debug, Json, RunFolder
from flows.screens import results as screens
from pet.storage.locations import check_places


def export(
    folder: RunFolder,
    kind: Annotated[
        str,
        typer.Option(
            "--format", help="the student: hf, onnx, linear; labels and texts: datasets, csv"
        ),
    ],
    out_folder: Annotated[str, typer.Option("--out", help="a new folder")],
    int8: Annotated[bool, typer.Option("--int8", help="onnx: an int8 model, too")] = False,
    pool: Annotated[
        str | None, typer.Option("--pool", help="datasets, csv: where the pool is now")
    ] = None,
    who: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="datasets, csv: whose labels, student or ensemble",
            show_default="the run's, as they are",
        ),
    ] = None,
    json_out: Json = False,
    debug: Debug = False,
) -> None:
    """Write the student or the labeled pool for other programs."""

    def work() -> None:
        from pet.finished.exports import export_run
        from pet.storage.mirrors import fetch_run
        from pet.storage.run_folders import ALL_LABELS

        check_places(out=out_folder)
        stop.install()
        observer = screens.progress(err, stop)
        run = fetch_run(folder, ALL_LABELS).path
        found = export_run(
            run, kind, Path(out_folder), int8=int8, pool=pool, who=who, observer=observer
        )
        if json_out:
            sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        else:
            show(out, found)

    answer(work, debug)


def show(console: Console, found: dict[str, Any]) -> None:
    """Show what was written, and how an ONNX model compares with the student."""
    lines = [found["out"]]
    lines += [f"  {name}  {_size(size)}" for name, size in found["files"].items()]
    if "rows" in found:
        lines.append(f"{found['rows']:,} rows")
    if count := found.get("escaped"):
        cells = "1 cell begins" if count == 1 else f"{count:,} cells begin"
        lines.append(
            f"{cells} with = + - or @ and got an apostrophe, so that no spreadsheet runs a "
            "formula; pet reads them without it, for other programs take --format datasets"
        )
    if "compared_on" in found:
        lines.append(
            f"compared with the student on {found['compared_on']}{_quality(found, 'student')}"
        )
    for name in ("model.onnx", "model_int8.onnx"):
        if name in found:
            lines.append(
                f"  {name}: the same label on {found[name]['agreement']:.1%}, probabilities off "
                f"by {found[name]['largest_difference']:g} at most{_quality(found, name)}"
            )
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _size(count: int) -> str:
    """Write a number of bytes so that a small file is not nothing."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def _quality(found: dict[str, Any], name: str) -> str:
    own = found.get(name, {})
    if "micro_f1" in own:
        return f", micro-F1 {own['micro_f1']:.3f}"
    return f", accuracy {own['accuracy']:.1%}" if "accuracy" in own else ""
