"""What `pet nightly` shows, and what `pet runs show` shows of a store."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.screens.lines import counted
from pet.data.data_files import passed_over_warnings

MOST_FILES = 100


def night(console: Console, found: dict[str, Any]) -> None:
    """Show what a night did, what needs a person, and how things stand."""
    if found["labeled"]:
        console.print(_files(found))
    line = f"{counted(len(found['labeled']), 'file')} labeled, {counted(found['rows'], 'row')}"
    for name in ("replaced", "deleted", "returned", "late"):
        if found[name]:
            line += f", {len(found[name]):,} {name}"
    _line(console, f"{line}; {counted(found['files'], 'file')} in all")
    if found["drift"]:
        console.print(drift_table(found))
    elif found["drift_rows"]:
        _line(console, f"drift: {found['drift_rows']:,} rows are too few for a test")
    for name, bad in found["bad"].items():
        _line(console, f"warning: {name} is not labeled: {bad['expected']}, but {bad['found']}")
    for name, why in found["unreadable"].items():
        _line(console, f"warning: {name} cannot be read: {why}")
    for line in passed_over_warnings("the pool", found["passed_over"]):
        _line(console, f"warning: {line}")
    if errors := found["errors"]:
        state = "too many are wrong" if errors["alarm"] else "nothing is proved"
        _line(
            console,
            f"errors     {errors['wrong']:,} of {errors['answered']:,} drawn labels wrong: {state} "
            f"(capital {errors['capital']:g}); {errors['open']:,} nights wait for answers",
        )
        if errors.get("drawn"):
            _line(console, f"drawn      {errors['drawn']}: write a label into `answer`")
    model = found["model"]
    _line(console, f"model      {model['version']}, {model['predictor']} of {model['run']}")
    _line(console, f"labels     {found['labels']}")


def _files(found: dict[str, Any]) -> Table:
    table = Table(title="labeled tonight", title_justify="left", title_style="bold")
    table.add_column("label")
    table.add_column("rows", justify="right")
    for label, count in found["counts"].items():
        table.add_row(escape(label), f"{count:,}")
    files = found["labeled"].values()
    table.add_section()
    table.add_row("of these abstain", f"{sum(file['abstained'] for file in files):,}")
    table.add_row("rejected", f"{sum(file['rejected'] for file in files):,}")
    return table


def drift_table(found: dict[str, Any]) -> Table:
    """Show the tests for drift: statistic, threshold, verdict."""
    title = f"drift: the newest {found['drift_rows']:,} rows against the model's reference"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("of", "statistic", "value", "threshold", ""):
        table.add_column(name, justify="right" if name in ("value", "threshold") else "left")
    for test in found["drift"]:
        verdict = "drift" if test["drifted"] else "no drift"
        table.add_row(
            test["what"],
            test["statistic"],
            f"{test['value']:.3f}",
            f"{test['threshold']:.3f}",
            verdict,
        )
    return table


def store(console: Console, found: dict[str, Any]) -> None:
    """Show which model labeled which file, from which labeled set, with which code."""
    models = Table()
    for name in (
        "model",
        "in use since",
        "labeled by",
        "labeled rows",
        "code",
        "made by",
        "because",
    ):
        models.add_column(name, overflow="fold", min_width=10 if name == "in use since" else None)
    for model in found["models"]:
        code = " ".join(model["code"].values())
        digest = (model["labeled_digest"] or "none")[:12]
        models.add_row(
            str(model["version"]),
            model["since"].replace("T", " "),
            model["predictor"],
            f"{model['labeled_rows']:,} ({digest})",
            code,
            escape(model["run"]),
            escape(model["reason"]),
        )
    console.print(models)
    files = Table("file", "model", "rows", "rejected", "content", "in the pool")
    for name, file in list(found["files"].items())[:MOST_FILES]:
        files.add_row(
            escape(name),
            str(file["model"]),
            f"{file['rows']:,}",
            f"{file['rejected']:,}",
            file["digest"][:12],
            "yes" if file["in_pool"] else "no",
        )
    console.print(files)
    if len(found["files"]) > MOST_FILES:
        _line(console, f"and {len(found['files']) - MOST_FILES:,} more files: --json lists them")
    for name, bad in found["bad"].items():
        _line(console, f"warning: {name} is not labeled: {bad['expected']}, but {bad['found']}")


def _line(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
