"""report.html: one file that needs nothing else, drawn from report.json and the run folder."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pet.config import RunConfig
from pet.escaping import shown_threshold
from pet.reporting import plots
from pet.reporting import report_tables as tables
from pet.reporting.certificate_file import read_certificate, sentence
from pet.reporting.findings import percent
from pet.reporting.report_file import Manifest, Report, read_report
from pet.reporting.verdict import verdict_of
from pet.settings import load_config, run_command
from pet.storage.files import write_text
from pet.storage.locations import is_on_store


@functools.cache
def load_template(name: str) -> Any:
    """Return one of our templates; whatever is put into it is escaped."""
    environment = Environment(
        loader=PackageLoader("pet.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "short_percent": lambda share: "–" if share is None else f"{100 * share:.0f}\u202f%",
        "count": lambda number: f"{number:,.0f}",
        "duration": duration,
        "threshold": shown_threshold,
    }
    return environment.get_template(name)


def duration(seconds: float) -> str:
    """Write a time in hours, minutes and seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


LEVELS = {"serious": "Serious", "care": "Take care", "note": "Note", "good": "Good"}

SECTIONS = {
    "models": "Model comparison",
    "patterns": "Patterns",
    "rules": "Rules",
    "generations": "Generations",
    "labels": "Labels",
    "exits": "Early exit",
    "confidence": "Calibration",
    "several": "Label by label",
    "levels": "Levels of the tree",
    "confusion": "Confusion matrix",
    "examples": "Example rows",
    "rejected": "Rejected rows",
    "cost": "Cost",
    "repeat": "Reproducing the run",
}


def write_page(folder: Path) -> Path:
    """Draw `report.html` anew from what lies in a run folder; return its path.

    Raises:
        InputError: the run has not ended, or one of its files is damaged or of another version.
    """
    report, manifest = read_report(folder)
    config = load_config(folder / "config.json")
    try:
        task_file = (folder / "task.toml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        task_file = ""  # shown, and not needed for anything
    path = folder / "report.html"
    write_text(path, draw_page(report, manifest, config, folder, task_file))
    return path


def draw_page(
    report: Report, manifest: Manifest, config: RunConfig, folder: Path, task_file: str
) -> str:
    """Return the page. The same figures, settings and folder give the same text."""
    certificate = read_certificate(folder)
    models, evaluation = tables.model_rows(report), tables.held_out_evaluation(report)
    confusion, shares = tables.confusion_table(report), tables.share_rows(report)
    several, levels = tables.several_table(report), tables.level_rows(report)
    absent = {
        "several": several is None,
        "levels": not levels,
        "models": not models,
        "rules": not report.rules,
        "exits": report.exits is None,
        "confusion": confusion is None,
        "generations": len(report.generations) < 2,
    }
    is_matrix = confusion is None or "worst" not in confusion
    names = SECTIONS if is_matrix else SECTIONS | {"confusion": "Confused labels"}
    return load_template("report.html.jinja").render(
        report=report,
        manifest=manifest,
        verdict=verdict_of(report, _called(config, folder)),
        certified=None if certificate is None else sentence(certificate),
        levels_of_findings=LEVELS,
        sections=[(key, name) for key, name in names.items() if not absent.get(key)],
        tiles=tables.tiles(report),
        models=models,
        evaluation=evaluation,
        confusion=confusion,
        several=several,
        levels=levels,
        measured_by=tables.measured_by(report),
        pairs=tables.pair_rows(report),
        where=_where(report),
        evaluation_note=_evaluation_note(report),
        ensembles=report.test.ensembles if report.test else {},
        patterns=tables.pattern_rows(report),
        patterns_note=_patterns_note(report),
        rules=tables.rule_rows(report),
        exits=tables.exit_rows(report),
        label_rate=tables.label_rate(report),
        rule_sets=tables.sets_with_rules(report),
        generations=tables.generation_rows(report),
        shares=shares,
        widest=max((row[name] or 0 for row in shares for name in ("pool", "labeled")), default=1),
        histogram=tables.histogram_rows(report),
        stages=tables.stage_rows(report),
        rejected=tables.rejected_rows(report),
        rejected_first=tables.first_rejected(report),
        abstained_share=report.labels.abstained / max(report.labels.rows, 1),
        total_seconds=sum(report.seconds.values()),
        command=run_command(config),
        settings=json.dumps(config.model_dump(mode="json"), indent=2, ensure_ascii=False),
        several_fields=len(report.examples.doubtful[0].texts) > 1
        if report.examples.doubtful
        else False,
        task_file=task_file,
        threshold=config.abstain_below,
        charts=_charts(report, config.abstain_below, models),
    )


def _charts(report: Report, threshold: float, models: list[tables.ModelRow]) -> dict[str, str]:
    charts = {"histogram": plots.confidence_histogram(report.labels.confidence_counts, threshold)}
    if (evaluation := tables.held_out_evaluation(report)) is not None:
        charts["reliability"] = plots.reliability_diagram(evaluation)
        charts["coverage"] = plots.coverage_chart(evaluation)
    if models:
        what = "accuracy of whole rows" if report.several else "accuracy"
        rows = [(own.name, own.accuracy, own.rows) for own in models]
        charts["accuracies"] = plots.accuracy_chart(rows, what)
    if len(report.generations) > 1:
        charts["generations"] = plots.generations_chart(report.generations)
    return charts


def _called(config: RunConfig, folder: Path) -> str:
    """Return what a run is called in commands: a mirror is named by the address it is of."""
    return config.out if is_on_store(config.out) else str(folder)


def _where(report: Report) -> str:
    if report.test is not None:
        return f"Measured on the {report.sets['test'].rows:,} rows of the test set."
    return (
        "There is no test set. These figures are out of fold: each labeled row is predicted by "
        "members that were not trained on it. Baseline and student were trained on all labeled "
        "rows and have no such figures."
    )


def _evaluation_note(report: Report) -> str:
    if report.test is not None:
        return ""
    if tables.held_out_evaluation(report) is not None:
        return "Without a test set, accuracy here is the ensemble's, out of fold: a rough estimate."
    return "Without a test set it is not known how well this confidence is calibrated."


def _patterns_note(report: Report) -> str:
    notes = []
    measured = report.test or report.labeled
    if measured is not None:
        what = "Micro-F1" if report.several else "Accuracy"
        notes.append(f"{what} on the {'test' if report.test else 'labeled'} set.")
    if not all(member.trained for member in report.members.values()):
        notes.append("Members without a figure under trained are zero-shot.")
    elif tables.measured_held_out(report) is None and measured is not None:
        notes.append(
            "Members were trained on every labeled row: no row is held out to measure them on."
        )
    elif measured is not None and report.test is None:
        some = any(own.trained is None for own in measured.patterns.values())
        what = "Trained patterns are measured out of fold"
        notes.append(f"{what}; some have none." if some else f"{what}.")
    return " ".join(notes)
