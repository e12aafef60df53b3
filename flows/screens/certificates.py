"""What `pet certify` shows: what was drawn, and what the answers prove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pet.escaping import visible
from pet.reporting.certificate_file import least_confidence, sentence


def drawn(
    console: Console, record: Mapping[str, Any], path: Path, next_step: str, answered: int
) -> None:
    """Show what was drawn, and what a person does next.

    Args:
        answered: texts that have an answer from before.
    """
    frame, asked = record["frame"], len(set(record["asked"].values()))
    least = least_confidence(frame["threshold"])
    _print(
        console,
        [
            f"{len(record['drawn']):,} rows drawn ({asked:,} different texts) of the "
            f"{frame['rows']:,} with a confidence of {least} or more, of "
            f"{record['pool_rows']:,}; recorded as draw {record['number']}",
            *_before(record, answered),
            f"written    {path}",
            f"write {_answer(record)} for every row: an empty one counts as wrong. Then:",
            f"  {next_step}",
        ],
    )


def _answer(record: Mapping[str, Any]) -> str:
    """Say what people write into the column `answer`."""
    if record.get("labels_per_text") == "any":
        return 'a list of labels such as ["a", "b"], or [] for none, into `answer`'
    return "a label into `answer`"


def _before(record: Mapping[str, Any], answered: int) -> list[str]:
    """Say that this draw was there, and how many of its rows have an answer."""
    if not answered:
        return []
    left = len(set(record["asked"].values())) - answered
    line = f"this was asked for before: {answered:,} texts are answered, {left:,} are left to read"
    more = "; for other rows ask for another number of answers"
    return [line if left else line + more]


def drawn_for_shares(
    console: Console, record: Mapping[str, Any], path: str, next_step: str, answered: int
) -> None:
    """Show what was drawn to estimate shares, and what a person does next."""
    _print(
        console,
        [
            f"{len(record['drawn']):,} rows drawn of {record['pool_rows']:,}; recorded as draw "
            f"{record['number']}",
            *_before(record, answered),
            f"written    {path}",
            f"write {_answer(record)} for every row. Then:",
            f"  {next_step}",
        ],
    )


def shares(console: Console, found: Mapping[str, Any]) -> None:
    """Show each label's share of the pool, beside the share of rows that are predicted so."""
    level = f"{100 * found['confidence']:g} % interval"
    table = Table("label", "predicted", "estimate", level)
    for label, own in found["shares"].items():
        ends = f"{own['low']:.1%} to {own['high']:.1%}"
        table.add_row(
            escape(visible(label)), f"{own['predicted']:.1%}", f"{own['estimate']:.1%}", ends
        )
    console.print(table)
    _print(console, [f"from {found['drawn']:,} drawn rows of {found['rows']:,}"])


def weeks(console: Console, found: Sequence[Mapping[str, Any]], confidence: float) -> None:
    """Show each label's share week by week: estimates with intervals, or plain counts."""
    labels = list(dict.fromkeys(label for week in found for label in week["shares"]))
    title = f"shares of labels, {100 * confidence:g} % intervals; (n): predicted labels counted"
    table = Table("week", "rows", "drawn", *(escape(visible(label)) for label in labels))
    table.title, table.title_justify, table.title_style = title, "left", "bold"
    for week in found:
        cells = [_of_week(week["shares"].get(label, {})) for label in labels]
        table.add_row(week["week"], f"{week['rows']:,}", f"{week['drawn']:,}", *cells)
    console.print(table)
    lines = [f"{week['week']} is counted: {week['reason']}" for week in found if week["reason"]]
    if lines:
        lines.append(
            "a count is as wrong as the model is; for estimates set certify.rows_a_night and "
            "certify.rows_below, and have all rows in watch/ answered"
        )
    _print(console, lines or ([] if found else ["no rows have come yet"]))


def _of_week(own: Mapping[str, float]) -> str:
    if "estimate" in own:
        return f"{own['estimate']:.1%} ({own['low']:.1%} to {own['high']:.1%})"
    return f"{own['counted']:.1%} (n)" if own else ""


def certificate(console: Console, found: Mapping[str, Any]) -> None:
    """Show what is certified, the rows behind it, and what more answers would bring."""
    lines = [sentence(found)]
    if stands := found.get("stands"):
        lines.append(f"an earlier draw certifies more, and stands: {stands}")
    counts = (
        f"draw {found['draw_number']}: {found['drawn']:,} rows drawn, {found['answered']:,} "
        f"answered, {found['wrong']:,} of these labels wrong"
    )
    if unanswered := found["drawn"] - found["answered"]:
        counts += f"; the {unanswered:,} without an answer count as wrong"
    lines.append(counts)
    lines.append("in labels/ the answers are these rows' labels now: source person, certified")
    if found["guarantee"] == "whole" and found["threshold"] is not None:
        lines.append(f"{found['to_read']:,} rows remain to be read: those below the threshold")
    for label, own in (found["labels"] or {}).items():
        lines.append(f"  {visible(label)}: {_of_label(own)}")
    shares = ", ".join(
        f"{answers} answers {rows / found['pool_rows']:.0%}"
        for answers, rows in found["expected"].items()
    )
    lines.append(f"expected of another draw (share of the rows): {shares}")
    lines.append(f"alpha spent so far: {found['alpha_spent']:.4g}")
    _print(console, lines)


def _of_label(own: Mapping[str, Any]) -> str:
    if own["threshold"] is not None:
        least = least_confidence(own["threshold"])
        return f"certified for {own['rows']:,} rows, confidence {least} or more"
    needs = "" if own["needs"] is None else f"; about {own['needs']:,} drawn rows would show it"
    return f"not certified: {own['wrong']:,} of {own['drawn']:,} drawn rows wrong{needs}"


def _print(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
