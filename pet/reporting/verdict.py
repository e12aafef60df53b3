"""The first lines of a report: what was made, its accuracy, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pet.data.labeled import MISSING
from pet.method.metrics import wilson_interval
from pet.reporting import findings as label_findings
from pet.reporting import model_findings
from pet.reporting.findings import LEVELS, Finding, percent
from pet.reporting.report_file import Report

UNEVEN = 0.02  # of accuracy above macro-F1


@dataclass(frozen=True)
class Verdict:
    """The first lines of the report."""

    headline: str
    quality: str
    made: str
    findings: list[Finding]


def verdict_of(report: Report, folder: str) -> Verdict:
    """Derive the verdict; the run's folder is named in the commands."""
    run = shlex.quote(folder)
    findings = [
        found
        for rule in (*model_findings.RULES, *label_findings.RULES)
        if (found := rule(report, run)) is not None
    ]
    findings += [_about("labeled", warning) for warning in report.warnings]
    findings += [_about("test", warning) for warning in report.test_warnings]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    headline, quality = _quality(report)
    return Verdict(headline, quality, _made(report), findings)


def _about(kind: str, warning: str) -> Finding:
    """Turn a warning about the labeled or test rows into a finding."""
    action = "Add rows with that label" if MISSING in warning else "Correct them"
    return Finding("care", f"About the {kind} rows", warning, f"{action}, and run again.")


def _made(report: Report) -> str:
    labels, count = report.labels, len(report.members)
    learned = report.sets["labeled"].rows if "labeled" in report.sets else 0
    trained = f"{learned:,} labeled rows" if learned else "no labeled rows"
    members = f"an ensemble of {count} models" if count > 1 else "one model"
    return (
        f"{labels.rows:,} texts were given one of {len(labels.counts)} labels by a small "
        f"classifier, the student. It was distilled from {members} ({trained}, soft labels for "
        f"{report.pool.scored_by_members:,} texts)."
    )


def _quality(report: Report) -> tuple[str, str]:
    if report.test is None:
        return "The accuracy of these labels is not known", _estimate(report)
    student, rows = report.test.student, report.sets["test"].rows
    low, high = wilson_interval(student.accuracy, rows)
    headline = f"About {100 * student.accuracy:.0f} of 100 labels are correct"
    if low <= model_findings.most_frequent(report):
        headline = "These labels are no better than a guess"
    own = student.abstaining
    quality = (
        f"On {rows:,} test rows the student's accuracy is {percent(student.accuracy)} (95\u202f% "
        f"interval: {percent(low)} to {percent(high)})."
    )
    if student.accuracy - student.macro_f1 >= UNEVEN:
        macro_f1 = percent(student.macro_f1)
        quality += f" Some labels are predicted less well: the macro-F1 score is {macro_f1}."
    if 0 < own.coverage < 1:
        quality += (
            f" With a confidence threshold of {own.threshold:g}, coverage is "
            f"{percent(own.coverage)} and accuracy {percent(own.accuracy)}."
        )
    return headline, quality


def _estimate(report: Report) -> str:
    """Describe what is known without a test set: the ensemble's accuracy out of fold."""
    if report.labeled is None:
        return "There is no test set, and there are no labeled rows to measure on."
    if not report.labeled.unseen:
        return "There is no test set, and no labeled row was held out from training."
    ensemble = report.labeled.ensemble
    low, high = wilson_interval(ensemble.accuracy, ensemble.rows)
    return (
        f"There is no test set. A rough estimate: the ensemble's out-of-fold accuracy is "
        f"{percent(ensemble.accuracy)} on {ensemble.rows:,.0f} labeled rows, each predicted by "
        f"models that were not trained on it (95\u202f% interval: {percent(low)} to "
        f"{percent(high)})."
    )
