"""What the command shows: progress, tables, results. Data's own text is never read as markup."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from flows.screens.confusion import confusion_table
from flows.screens.lines import WORTH_A_LINE, LineObserver, counted, rate, summary
from pet.escaping import shown_threshold, visible
from pet.progress import Observer


class RateColumn(ProgressColumn):
    """Units per second, as the stage counts them."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(rate(speed, task.fields["unit"]) if speed else "", style="cyan")


class RichObserver(Observer):
    """A progress bar per stage with rate and time left; lines above it."""

    def __init__(self, console: Console, stop: Any):
        self._stop = stop
        self._console = console
        self._task: TaskID | None = None
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            RateColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self._stop.raise_if_asked()
        self._bar.start()
        self._task = self._bar.add_task(visible(stage), total=total, unit=unit)

    def advance(self, amount: int) -> None:
        if self._task is not None:
            self._bar.advance(self._task, amount)
        self._stop.raise_if_asked()

    def end(self) -> None:
        if self._task is None:
            return
        task = self._bar.tasks[-1]
        elapsed = task.elapsed or 0.0
        self._bar.remove_task(self._task)
        self._task = None
        self._bar.stop()
        if elapsed < WORTH_A_LINE:
            return
        line = summary(task.description, task.completed, task.fields["unit"], elapsed)
        self._console.print(line, markup=False, highlight=False)

    def note(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def progress(console: Console, stop: Any) -> Observer:
    """Return the observer for this terminal, or for a file."""
    return RichObserver(console, stop) if console.is_terminal else LineObserver(console, stop)


def percent(value: float | None) -> str:
    """Show a share; nothing where there is none."""
    return "" if value is None else f"{100 * value:.1f} %"


def result(console: Console, report: dict[str, Any], folder: object) -> None:
    """Show what a run amounts to: accuracies, label counts, where the files are."""
    if "test" in report:
        console.print(_accuracies(report, "test", "on the test set"))
        console.print(_coverage(report["test"]["student"]), markup=False, highlight=False)
    elif "labeled" in report:
        console.print(_accuracies(report, "labeled", "on the labeled set"))
    if len(report["generations"]) > 1:
        console.print(_generations(report))
    if "rules" in report:
        console.print(rule_table(report["rules"], _counted_rules(report)))
    console.print(_counts(report["labels"], report["pool"]))
    for warning in filter(None, [report.get("unused_labels"), *report["warnings"]]):
        console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    console.print()
    for name, path in (
        ("run folder", folder),
        ("labels", f"{folder}/labels"),
        ("student", f"{folder}/student"),
        ("report", f"{folder}/report.html"),
    ):
        console.print(f"{name:<11}{path}", markup=False, highlight=False, soft_wrap=True)


def _accuracies(report: dict[str, Any], source: str, where: str) -> Table:
    measured, trained = report[source], source == "test"
    what = "micro-F1" if "labels_per_text" in report else "accuracy"
    table = Table(title=f"{what} {where}", title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("zero-shot", justify="right")
    if not trained and measured["unseen"]:
        table.add_column("out of fold", justify="right")
    if trained:
        table.add_column("trained", justify="right")
        table.add_column("macro-F1", justify="right")
        table.add_column("ECE", justify="right")
    for name, pattern in measured["patterns"].items():
        before = _main(pattern["zero_shot"]) if "zero_shot" in pattern else None
        row = [f"pattern {escape(name)}", percent(before)]
        if trained and (f"untrained-{name}" not in report["weights"] or before is None):
            row += _figures(pattern["trained"])
        table.add_row(*row)
    if trained and measured.get("encoder") != measured.get("linear_encoder"):
        table.add_row("encoder", "", *_figures(measured["encoder"]))
    if not trained:
        # The rest was trained on these rows: its accuracy on them is too high.
        if measured["unseen"]:
            table.add_row("ensemble", "", percent(_main(measured["ensemble"])))
        return table
    table.add_section()
    if "linear_supervised" in measured:
        table.add_row("supervised, linear", "", *_figures(measured["linear_supervised"]))
    if "linear_encoder" in measured:
        table.add_row("encoder, linear", "", *_figures(measured["linear_encoder"]))
    if "supervised" in measured:  # there is no baseline without labeled rows
        table.add_row("supervised", "", *_figures(measured["supervised"]))
    if "without_rules" in measured:
        table.add_row("ensemble without rules", "", *_figures(measured["without_rules"]))
    table.add_row("ensemble", "", *_figures(measured["ensemble"]))
    for way, figures in measured["ensembles"].items():
        if way != report["weighing"]:
            table.add_row(f"  with weights {way}", "", *_figures(figures), style="dim")
    table.add_row("student", "", *_figures(measured["student"]))
    if "linear_student" in measured:
        table.add_row("student, linear", "", *_figures(measured["linear_student"]), style="dim")
    return table


def _coverage(measured: dict[str, Any]) -> str:
    """Describe accuracy and coverage at the threshold, and at half coverage."""
    own = measured["abstaining"]
    half = min(measured["coverage"], key=lambda point: abs(point["coverage"] - 0.5))
    return (
        f"confidence threshold {own['threshold']:g}: coverage {percent(own['coverage'])}, "
        f"accuracy {percent(own['accuracy']) or 'unknown'}; threshold "
        f"{shown_threshold(half['threshold']):g}: coverage {percent(half['coverage'])}, "
        f"accuracy {percent(half['accuracy'])}"
    )


def _generations(report: dict[str, Any]) -> Table:
    """A column per generation: labels may be many."""
    generations = report["generations"]
    what = "micro-F1" if "labels_per_text" in report else "accuracy"
    title = f"generations: training rows, agreement, test {what}, label shares"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for number, stage in enumerate(generations):
        last = number == len(generations) - 1
        discarded = last and set(stage["members"]) != set(report["weights"])
        table.add_column(f"{number}{' (discarded)' if discarded else ''}", justify="right")

    def add(name: str, values: list[float | None]) -> None:
        shown = ["" if value is None else f"{value:.0%}" for value in values]
        table.add_row(escape(name), *shown)

    table.add_row("rows", *(f"{stage['rows']:,}" for stage in generations))
    add("agree", [stage["agreement"] for stage in generations])
    add("test", [stage.get("test_accuracy") for stage in generations])
    table.add_section()
    for label in report["labels"]["counts"]:
        add(label, [stage["shares"][label] for stage in generations])
    return table


def _counted_rules(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: report[name]["rules"] for name in ("labeled", "test") if name in report}


def rule_table(rules: dict[str, Any], counted: dict[str, dict[str, Any]]) -> Table:
    """Lay out where rules fire in the pool, and how often they are right.

    Args:
        rules: by name, as in report.json; what was not looked at may be missing.
        counted: set -> rule -> rows in which it fires, and is right.
    """
    table = Table(title="rules", title_justify="left", title_style="bold")
    shares = {"fires": "coverage", "beside another": "overlap", "against another": "conflict"}
    numbers = {"expected right": "precision"}
    known = next(iter(rules.values()))
    columns = {title: key for title, key in (shares | numbers).items() if key in known}
    table.add_column("rule")
    table.add_column("label")
    for name in [*columns, *(f"right, {name}" for name in counted)]:
        table.add_column(name, justify="right")
    for name, rule in rules.items():
        rows = [f"{own[name]['right']:,} of {own[name]['rows']:,}" for own in counted.values()]
        figures = [percent(rule[key]) for key in columns.values()]
        table.add_row(escape(name), escape(rule["label"]), *figures, *rows)
    return table


def _figures(measured: dict[str, Any]) -> list[str]:
    return [percent(_main(measured)), percent(measured["macro_f1"]), percent(measured["ece"])]


def _main(measured: dict[str, Any]) -> float:
    """Return accuracy, or micro-F1 where a text may have several labels."""
    return float(measured.get("micro_f1", measured["accuracy"]))


def _counts(labels: dict[str, Any], pool: dict[str, Any] | None) -> Table:
    table = Table(title="labels of the pool", title_justify="left", title_style="bold")
    table.add_column("label")
    table.add_column("rows", justify="right")
    table.add_column("share", justify="right")
    for label, count in labels["counts"].items():
        table.add_row(escape(label), f"{count:,}", percent(count / max(labels["rows"], 1)))
    several = "without" in labels
    if several:
        without = labels["without"]
        table.add_row("none of them", f"{without:,}", percent(without / max(labels["rows"], 1)))
    table.add_section()
    table.add_row(
        "with a label in doubt" if several else "of these abstain",
        f"{labels['abstained']:,}",
        percent(labels["abstained"] / max(labels["rows"], 1)),
    )
    sources = labels.get("sources", {})
    for model, rows in sources.items() if len(sources) > 1 else ():
        table.add_row(f"labeled by the {model}", f"{rows:,}", percent(rows / labels["rows"]))
    rejected = labels.get("rejected") if pool is None else pool["rejected"]
    table.add_row("rejected", f"{rejected:,}", "")
    return table


def labels(console: Console, counts: dict[str, Any], out: str, written: int, reused: int) -> None:
    """Show what `pet label` wrote."""
    console.print(_counts(counts, None))
    lines = [f"labels     {out} ({counted(written, 'file')} written, {reused} reused)"]
    if counts["rejected"]:
        lines.append(f"rejected   {counts['rejected_file']} ({counts['rejected']:,} rows)")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def predictions(console: Console, found: list[dict[str, Any]]) -> None:
    """Show a label and its confidence per text."""
    table = Table(box=None, show_header=False)
    for row in found:
        if "labels" in row:
            table.add_row(escape(_set(row)), escape(row["text"]))
            continue
        mark = " (abstains)" if row["abstain"] else ""
        if row.get("node", row["label"]) != row["label"]:
            mark += f", stops at {row['node']}" if row["node"] else ", stops above the top"
        known = escape(percent(row["confidence"]) + mark)
        table.add_row(escape(row["label"]), known, escape(row["text"]))
    console.print(table)


def _set(row: dict[str, Any]) -> str:
    """Show the labels of a text with their probabilities; a question mark where one is in doubt."""
    shown = [
        f"{label} {percent(row['probabilities'][label])}" + "?" * (label in row["abstain"])
        for label in row["labels"]
    ]
    return ", ".join(shown) or "none of the labels"


def evaluation(console: Console, found: dict[str, Any]) -> None:
    """Show accuracy, macro-F1, ECE and the confusion matrix, or the figures of each label."""
    micro = f"micro-F1 {percent(found['micro_f1'])}, " if "micro_f1" in found else ""
    console.print(
        f"{found['with']}: {micro}accuracy {percent(found['accuracy'])}, macro-F1 "
        f"{percent(found['macro_f1'])}, ECE {percent(found['ece'])}, {found['rows']:,} rows",
        highlight=False,
    )
    console.print(_coverage(found), highlight=False)
    if "by_label" in found:
        console.print(_by_label(found["labels"], found["by_label"]))
    else:
        pair = "true label", "predicted one"
        console.print(confusion_table(console, found["labels"], found["confusion"], *pair))
    for level, own in enumerate(found.get("levels", ()), 1):
        console.print(
            f"level {level}, {own['nodes']:,} labels: accuracy {percent(own['accuracy'])}, "
            f"macro-F1 {percent(own['macro_f1'])}; sure of it: {percent(own['coverage'])} of the "
            f"rows, accuracy {percent(own['sure_accuracy']) or 'unknown'}",
            highlight=False,
        )
    for warning in found["warnings"]:
        console.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)


def _by_label(labels: list[str], found: list[dict[str, Any]]) -> Table:
    """Show how well each of several labels is given."""
    table = Table("label")
    for name in ("rows", "given", "precision", "recall", "F1", "ECE", "threshold"):
        table.add_column(name, justify="right")
    for label, own in zip(labels, found, strict=True):
        shares = [percent(own[name]) for name in ("precision", "recall", "f1", "ece")]
        counts = [f"{own[name]:,}" for name in ("rows", "given")]
        table.add_row(escape(label), *counts, *shares, f"{own['threshold']:.2f}")
    return table
