"""What `pet transfer` shows."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pet.escaping import visible

# In the order of the columns; those that do not apply to a kind of adapter are not shown.
COLUMNS = {
    "active_neurons": "neurons",
    "cosine_average": "cosine",
    "cosine_concatenated": "cosine, whole",
    "euclidean_average": "1/(1+d)",
    "euclidean_concatenated": "1/(1+d), whole",
}


def transfer(console: Console, found: dict[str, Any]) -> None:
    """Show what runs are compared, accuracy of all on all tasks, and similarity of adapters."""
    for number, run in enumerate(found["runs"]):
        count = sum(member["run"] == number for member in found["members"])
        what = f"{count} {found['tuning']} adapters"
        rows = f"{run['rows']:,} {run['measured_on']} rows"
        _line(console, f"{number + 1}  {run['run']}: {run['task']}, {what}, measured on {rows}")
    console.print(_accuracy(found))
    console.print(_similarity(found))


def _accuracy(found: dict[str, Any]) -> Table:
    accuracy, runs = found["accuracy"], found["runs"]
    notes = {
        "*: on their own training rows": any(any(row) for row in accuracy["learned"]),
        "of several labels a text: 2 AUC - 1": any("labels_per_text" in run for run in runs),
    }
    title = "accuracy with another run's adapters, and relative to the task's own adapters"
    table = Table(
        title=title,
        title_justify="left",
        caption="; ".join(note for note, holds in notes.items() if holds) or None,
        caption_justify="left",
    )
    table.add_column("adapters of")
    for number, run in enumerate(runs):
        table.add_column(f"on {number + 1} {escape(visible(run['task']))}", justify="right")
    for number, run in enumerate(runs):
        rows = (accuracy[name][number] for name in ("matrix", "relative", "learned"))
        cells = [
            f"{value:.1%}{'*' if known else ''}  {'–' if share is None else format(share, '.0%')}"
            for value, share, known in zip(*rows, strict=True)
        ]
        last = number + 1 == len(runs)
        table.add_row(f"{number + 1} {escape(visible(run['task']))}", *cells, end_section=last)
    table.add_row("none", *(f"{value:.1%}" for value in accuracy["untrained"]))
    return table


def _similarity(found: dict[str, Any]) -> Table:
    similarity = found["similarity"]
    known = {name: similarity[name]["runs"] for name in COLUMNS if name in similarity}
    table = Table(title="similarity of adapters: means over pairs, at most 1", title_justify="left")
    table.add_column("runs")
    for name in known:
        table.add_column(COLUMNS[name], justify="right")
    for one in range(len(found["runs"])):
        for other in range(one, len(found["runs"])):
            values = [matrix[one][other] for matrix in known.values()]
            if any(value is not None for value in values):
                table.add_row(
                    f"{one + 1} and {other + 1}" if one != other else f"{one + 1}, its own",
                    *("–" if value is None else f"{value:.3f}" for value in values),
                )
    return table


def _line(console: Console, line: str) -> None:
    console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
