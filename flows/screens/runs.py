"""What `pet runs` shows: a line per run, or one run and where its labels come from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.screens.results import percent, result
from pet.reporting import certificate_file


def run_list(console: Console, rows: list[dict[str, Any]], under: Path) -> None:
    """Show a line per run."""
    if not rows:
        console.print(f"no runs in {under}", markup=False)
        return
    table = Table("run", "task", "state", "pool rows", "student accuracy")
    for row in rows:
        size = "" if row["pool_rows"] is None else f"{row['pool_rows']:,}"
        table.add_row(
            escape(row["run"]),
            escape(str(row["task"] or "")),
            row["state"],
            size,
            percent(row["student_accuracy"]),
        )
    console.print(table)


def _provenance(console: Console, record: Any) -> None:
    """Show which model labeled which files, from which labeled set, with which code."""
    try:
        labeled, models, code = record["labeled_set"], record["models"], record["code"]
        student, files = models["student"], record["pool"]["files"]
        weights = next(iter(student["weights"].values()), "")
        lines = [
            f"labeled by  the {record['labeled_by']}, weights {weights[:12]}, made from "
            f"{student['base']['name']} ({student['base']['digest'][:12]})",
            f"teachers    {len(models['ensemble']['members'])} members of "
            f"{models['teacher']['name']} ({models['teacher']['digest'][:12]})",
            f"trained on  {labeled['rows']:,} labeled rows ({labeled['digest'][:12]})",
            f"code        pet {code['pet']}, source {code['source']}",
        ]
    except (KeyError, TypeError, AttributeError):  # of an earlier version, or damaged
        console.print("provenance: no readable record", markup=False)
        return
    lines += [f"pool file   {name} ({digest[:12]})" for name, digest in list(files.items())[:10]]
    if len(files) > 10:
        lines.append(f"            and {len(files) - 10:,} more: see provenance.json")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


SHOWN = ("task", "labeled", "pool", "test", "model", "student_model", "preset", "seed")


def run_record(console: Console, found: dict[str, Any], folder: object) -> None:
    """Show one run: settings that differ from the defaults, stages, results."""
    more = {name: value for name, value in found["changed"].items() if name not in (*SHOWN, "out")}
    width = max(map(len, [*SHOWN, *more])) + 1
    for name, value in {**{name: found["settings"][name] for name in SHOWN}, **more}.items():
        console.print(f"{name:<{width}}{value}", markup=False, highlight=False, soft_wrap=True)
    table = Table("stage", "seconds", "made", "reused")
    for name, stage in ((found["manifest"] or {}).get("stages") or {}).items():
        table.add_row(name, f"{stage['seconds']:.1f}", str(stage["made"]), str(stage["reused"]))
    console.print(table)
    _provenance(console, found["provenance"])
    if found["certificate"]:
        line = certificate_file.sentence(found["certificate"])
        if found["certificate_void"]:
            line = f"the certificate is void: {found['certificate_void']}. It said: {line}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if draw := found["draw"]:
        request = draw["request"]
        line = (
            f"draw {draw['number']}: {draw['drawn']:,} rows drawn, {draw['answered']:,} answered, "
            f"to certify at most {100 * request['error']:.3g} % wrong with "
            f"{100 * request['confidence']:.4g} % confidence; nothing is certified by it yet: "
            f"pet certify {shlex.quote(str(folder))} --answered FILE"
        )
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if found["report"]:
        result(console, found["report"], folder)
    else:
        console.print(f"{found['state']}: give its `pet run` command again", markup=False)
