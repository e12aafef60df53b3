"""What `pet diff` shows."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.screens.confusion import confusion_table


def diff(console: Console, found: dict[str, Any]) -> None:
    """Show how many rows changed, label shares, the matrix, and the most confident changes."""
    for side in ("before", "after"):
        about = found[side]
        model = f", model {about['model_version']}" if "model_version" in about else ""
        people = f", {about['people']:,} of them labeled by people" if about["people"] else ""
        _line(console, f"{side:<8}{about['path']}: {about['rows']:,} rows{people}{model}")
    _line(
        console,
        f"{found['changed']:,} of {found['common']:,} common rows changed "
        f"({found['share_changed']:.2%}); {found['only_before']:,} only before, "
        f"{found['only_after']:,} only after",
    )
    if found["by_place"]:
        _line(console, "rows have no ids: file and row were compared, and they must be of one pool")
    for side in ("before", "after"):
        if found[f"twice_{side}"]:
            _line(
                console,
                f"warning: {found[f'twice_{side}']:,} rows {side} repeat an id: not compared",
            )
    console.print(_confusion(console, found) if "confusion" in found else _by_label(found))
    if found["examples"]:
        console.print(_examples(found["examples"]))


def _confusion(console: Console, found: dict[str, Any]) -> Table:
    shares = {
        f"share of all {side}": [f"{found['shares'][label][side]:.1%}" for label in found["labels"]]
        for side in ("before", "after")
    }
    return confusion_table(
        console, found["labels"], found["confusion"], "label before", "label after", shares
    )


def _by_label(found: dict[str, Any]) -> Table:
    """Lay out what became of each of several labels."""
    table = Table("label", title="rows by label", title_justify="left")
    for name in ("kept it", "got it", "lost it", "share of all before", "share of all after"):
        table.add_column(name, justify="right")
    for label in found["labels"]:
        counts, shares = found["by_label"][label], found["shares"][label]
        rows = [f"{counts[name]:,}" for name in ("kept", "got", "lost")]
        of_all = [f"{shares[side]:.1%}" for side in ("before", "after")]
        table.add_row(escape(label), *rows, *of_all)
    return table


def _examples(examples: list[dict[str, Any]]) -> Table:
    table = Table("id", "before", "after", title="the most confident changes", title_justify="left")
    for row in examples:
        table.add_row(
            escape(row["id"]),
            f"{_shown(row['before'])} {row['confidence_before']:.2f}",
            f"{_shown(row['after'])} {row['confidence_after']:.2f}",
        )
    return table


def _shown(label: str | list[str]) -> str:
    """Write a label, or all labels of a row."""
    return escape(label if isinstance(label, str) else ", ".join(label) or "none")


def _line(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
