"""What `pet check` shows: the data, zero-shot accuracy, what a run would take."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from flows.screens.lines import counted
from flows.screens.results import percent, rule_table
from pet.escaping import visible

WIDEST = 300  # characters of an example, and of a text that is quoted

CUT = 0.05  # of the rows

SHORT = 60  # seconds of a run whose stages are not listed

FEW = 10  # rows; of fewer, how many are right is shown, not the share


def show(console: Console, found: dict[str, Any]) -> None:
    """Show all that was found: what makes labels poor first, then the data."""
    spoiled = [*found.get("unread", []), *filter(None, [found.get("unused")])]
    for line in spoiled:
        _line(console, f"warning: {line}", "bold yellow")
    _data(console, found)
    words: Any = None
    for pattern in found["patterns"]:
        console.print()
        rows = found.get("zero_shot", {}).get("labeled_rows", 0)
        _pattern(console, pattern, rows, with_words=pattern.get("words") != words)
        words = pattern.get("words")
    if "rules" in found:
        console.print()
        counted = {name: own["labeled"] for name, own in found["rules"].items()}
        console.print(
            rule_table(found["rules"], {"labeled": counted} if _has_labels(found) else {})
        )
    if "zero_shot" in found:
        console.print()
        _zero_shot(console, found)
    for role, own in found.get("cut", {}).items():
        _cut(console, role, own)
    _suspects(console, found.get("suspects", []))
    if "suggested" in found:
        console.print()
        suggested_words(console, found["suggested"])
    for warning in [*found["warnings"], *_duplicates(found["duplicates"])]:
        _line(console, f"warning: {warning}", style="yellow")
    if "estimate" in found:
        console.print()
        _estimate(console, found["estimate"])
    if "budget" in found:
        _line(console, found["budget"]["summary"])
    if "kind" not in found:
        console.print()
        _line(console, "with --model REF: tokens, zero-shot accuracy, and what a run takes")
    if spoiled:
        end = "but its labels would be poor: see the first line"
        _line(console, f"\nnothing stands in the way of a run, {end}", "yellow")
    else:
        console.print("\nnothing stands in the way of a run", style="green")


def _has_labels(found: dict[str, Any]) -> bool:
    return bool(found["labeled"]["rows"])


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _data(console: Console, found: dict[str, Any]) -> None:
    """A line per label: there may be many."""
    table = Table(title=f"task {escape(found['task'])}", title_justify="left", title_style="bold")
    tables = {name: found[name] for name in ("labeled", "test") if name in found}
    columns: dict[str, list[str]] = {
        name: [f"{count:,}" for count in (own["rows"], *own["counts"].values())]
        for name, own in tables.items()
    }
    labels = list(found["labeled"]["counts"])
    if "by_label" in found.get("zero_shot", {}):
        by_label = found["zero_shot"]["by_label"]
        columns["right, zero-shot"] = [
            "",
            *(_share(own["right"], own["rows"]) for own in map(by_label.__getitem__, labels)),
        ]
    if "areas" in found.get("zero_shot", {}):
        areas = found["zero_shot"]["areas"]
        shown = ["" if areas[label] is None else f"{areas[label]:.2f}" for label in labels]
        columns["area, zero-shot"] = ["", *shown]
    if "pool" in found:
        shares = found.get("zero_shot", {}).get("pool_shares", {})
        predicted = [f"~ {shares[label]:.0%}" if shares else "" for label in labels]
        name = f"pool ({counted(found['pool']['files'], 'file')})"
        columns[name] = [f"{found['pool']['rows']:,}", *predicted]
    table.add_column("label")
    for name in columns:
        table.add_column(name, justify="right")
    for label, *cells in zip(["all", *labels], *columns.values(), strict=True):
        table.add_row(escape(label), *cells)
    console.print(table)


def _share(right: int, rows: int) -> str:
    if not rows:
        return ""
    return f"{right:,} of {rows:,}" if rows < FEW else f"{right / rows:.0%}"


def _accuracy(accuracy: float, rows: int) -> str:
    return percent(accuracy) if rows >= FEW else _share(round(accuracy * rows), rows)


def _cut(console: Console, role: str, found: dict[str, Any]) -> None:
    """Show how many rows are longer than a model reads."""
    sets = {name: own for name, own in found.items() if name not in ("max_length", "windows")}
    shares = ", ".join(f"{share:.0%} of {name} rows" for name, share in sets.items())
    style = "yellow" if max(sets.values(), default=0) >= CUT else ""
    read = f"{found['windows']} windows of " if "windows" in found else ""
    tokens = f"{read}{found['max_length']:,} tokens"
    _line(console, f"cut at {tokens} for the {role}: {shares}", style)


def _pattern(console: Console, pattern: dict[str, Any], rows: int, with_words: bool) -> None:
    """Show a pattern; its words only where they are others than the pattern's before it."""
    fit = "masked and causal models" if pattern["causal"] else "masked models only"
    template = visible(pattern["template"])
    console.print(Text.assemble((visible(pattern["name"]), "bold"), f"   {template}   ({fit})"))
    for label, words in pattern.get("words", {}).items() if with_words else ():
        shown = ", ".join(f"{word['word']} = {' '.join(word['tokens'])}" for word in words)
        _line(console, f"  {label}: {shown}")
    if "zero_shot_accuracy" in pattern:
        _line(
            console,
            "  zero-shot accuracy on the labeled rows "
            f"{_accuracy(pattern['zero_shot_accuracy'], rows)} "
            f"({_accuracy(pattern['uncalibrated_accuracy'], rows)} before calibration)",
        )
    if pattern.get("zero_shot_area") is not None:
        area = pattern["zero_shot_area"]
        _line(console, f"  zero-shot: {area:.2f}, mean area under the curve (0.5 knows nothing)")
    if (passes := pattern.get("passes", 1)) > 1:
        _line(
            console,
            f"  {passes:,} passes to score a row, one if no word had several tokens",
            "yellow",
        )
    if pattern.get("shortened"):
        _line(console, f"  {pattern['shortened']:,} labeled texts do not fit whole", "yellow")
    for example in pattern["examples"]:
        console.print(_example(example), soft_wrap=True)


def _example(example: dict[str, Any]) -> Text:
    """Set the mask off from the text, and show how many tokens are cut."""
    before, after = visible(example["before"]), visible(example["after"])
    if len(before) > WIDEST:
        before = f"{before[: WIDEST // 2]} ... {before[-WIDEST // 2 :]}"
    if len(after) > WIDEST:
        after = f"{after[: WIDEST // 2]} ... {after[-WIDEST // 2 :]}"
    line = Text("  > ", style="dim")
    line.append(before)
    line.append(f"[{visible(example['word'])}]", style="bold green not dim")
    line.append(after)
    if example["cut"]:
        line.append(f"   ({example['cut']:,} tokens do not fit)", style="yellow not dim")
    return line


def _zero_shot(console: Console, found: dict[str, Any]) -> None:
    zero_shot = found["zero_shot"]
    if "accuracy" in zero_shot:
        rows, every = zero_shot["labeled_rows"], found["labeled"]["rows"]
        among = f"{rows:,}" if rows == every else f"{rows:,} of {every:,}"
        _line(
            console,
            "zero-shot accuracy of all patterns together "
            f"{_accuracy(zero_shot['accuracy'], rows)} on {among} labeled rows; of always "
            f"predicting the most frequent label {_accuracy(zero_shot['most_frequent'], rows)}",
        )
    if "area" in zero_shot:
        _line(
            console,
            f"zero-shot, all patterns together rank {zero_shot['labeled_rows']:,} labeled rows by "
            f"each label with a mean area under the curve of {zero_shot['area']:.2f} (0.5 knows "
            "nothing)",
        )
    if "pool_shares" in zero_shot:
        shares = ", ".join(f"{label} {n:.0%}" for label, n in zero_shot["pool_shares"].items())
        _line(console, f"predicted label shares of {zero_shot['pool_rows']:,} pool rows: {shares}")


def suggested_words(console: Console, found: dict[str, Any] | None) -> None:
    """Show the words that the labeled rows suggest, how right they are, and what to paste."""
    if found is None:
        _line(console, "label words are suggested by eight labeled rows or more, of two labels")
        return
    rows = found["rows"]
    own, suggested = (_accuracy(found[name], rows) for name in ("own", "suggested"))
    _line(
        console,
        f"zero-shot accuracy on {rows:,} labeled rows: {own} by the task's own words, {suggested} "
        "by suggested ones, each row by words that were chosen without it",
    )
    if found["better"]:
        _line(console, "words that they suggest; paste into the task file:", "bold")
        _line(console, f"\n{found['toml']}")
        return
    for label, words in found["words"].items():
        _line(console, f"  {label}: {', '.join(words) or 'nothing'}")
    _line(console, "these are not clearly better: keep your words, or label more rows")


def _suspects(console: Console, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    console.print()
    of_files = any(":" in row["id"] for row in rows)
    where = " (rows of a file are counted from 0)" if of_files else ""
    _line(
        console, f"possible label errors: the zero-shot prediction is another label{where}", "bold"
    )
    for row in rows:
        text = " ".join(visible(row["text"]).split())
        _line(
            console,
            f"  {row['id']}: labeled {row['label']}, predicted {row['likelier']} "
            f"({percent(row['probability'])})  {text[:100]}",
        )


def _duplicates(found: dict[str, Any]) -> list[str]:
    """Describe duplicates and near-duplicates."""
    lines = []
    rows = f"of {found['rows']:,} pool rows checked"
    if found["same"]:
        lines.append(f"{rows}, {found['same']:,} are duplicates")
    if (near := found["near"] - found["same"]) > 0:
        lines.append(f"{rows}, {near:,} more are near-duplicates")
    if found["labeled"]:
        lines.append(f"{found['labeled']:,} labeled rows are duplicates or near-duplicates")
    if found["pool_near_labeled"]:
        lines.append(f"{rows}, {found['pool_near_labeled']:,} are near-duplicates of a labeled row")
    if found.get("test_near_labeled"):
        lines.append(
            f"{found['test_near_labeled']:,} test rows are (near-)duplicates of a labeled row: "
            "accuracy on them is too high"
        )
    return lines


def _estimate(console: Console, found: dict[str, Any]) -> None:
    """Show what every stage takes and gives; of a run of seconds, its sum alone."""
    title = (
        f"a run here: about {found['minutes']:,.1f} minutes, {found['members']:,} members, "
        f"{found['disk_mb']:,.0f} MB on disk"
    )
    whole = sum(found["seconds"].values())
    if whole < SHORT:
        _line(console, title)
        return
    table = Table(title=title, title_justify="left", title_style="")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    table.add_column("gives")
    for stage, seconds in found["seconds"].items():
        gives = found["gives"].get(stage, "")
        table.add_row(stage, f"{seconds:,.0f}", f"{seconds / whole:.0%}", gives)
    console.print(table)
