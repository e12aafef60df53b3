"""Confusion matrices: as a matrix, or where that is too wide for the screen, a line per label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

COMMONEST = 3  # others that a line names
ANY_WIDTH = 100_000


def confusion_table(
    console: Console,
    labels: Sequence[str],
    counts: Sequence[Sequence[int]],
    was: str,
    becomes: str,
    shares: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """Lay out a confusion matrix so that it fits the console.

    Args:
        counts: rows by the label that was and the one that it became. [labels, labels]
        was, becomes: what the two are called: "true label", "predicted one".
        shares: further columns: a heading, and a cell per label.
    """
    shares = shares or {}
    table = Table(title=f"rows: the {was}; columns: the {becomes}", title_justify="left")
    table.add_column("")
    for name in (*labels, *shares):
        table.add_column(escape(name), justify="right")
    for row, label in enumerate(labels):
        cells = [f"{count:,}" for count in counts[row]]
        table.add_row(escape(label), *cells, *(column[row] for column in shares.values()))
    wide = console.options.update(width=ANY_WIDTH)
    if Measurement.get(console, wide, table).maximum <= console.width:
        return table
    return _line_each(labels, counts, was, becomes, shares)


def _line_each(
    labels: Sequence[str],
    counts: Sequence[Sequence[int]],
    was: str,
    becomes: str,
    shares: Mapping[str, Sequence[str]],
) -> Table:
    title = f"the {was}; how often the {becomes} is the same, or another"
    table = Table(title=title, title_justify="left")
    table.add_column(was)
    for name in ("rows", "the same", *shares):
        table.add_column(escape(name), justify="right")
    table.add_column("another")
    for row, label in enumerate(labels):
        total = sum(counts[row])
        same = f"{counts[row][row] / total:.0%}" if total else ""
        table.add_row(
            escape(label),
            f"{total:,}",
            same,
            *(column[row] for column in shares.values()),
            _others(labels, counts[row], row),
        )
    return table


def _others(labels: Sequence[str], counts: Sequence[int], own: int) -> str:
    """Name the labels that a label is most often mistaken for."""
    others = sorted(
        (place for place, count in enumerate(counts) if count and place != own),
        key=lambda place: -counts[place],
    )
    named = [f"{escape(labels[place])} {counts[place]:,}" for place in others[:COMMONEST]]
    if left := sum(counts[place] for place in others[COMMONEST:]):
        named.append(f"others {left:,}")
    return ", ".join(named)
