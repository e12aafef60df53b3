"""The first lines of a report: what was made, how good it is, how sure, and what to do next."""

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
    """Say what is odd about the rows that people labeled, and what to do about it."""
    action = "Add rows with that label" if MISSING in warning else "Correct them"
    return Finding("care", f"About the {kind} rows", warning, f"{action}, and run again.")


def _made(report: Report) -> str:
    labels, count = report.labels, len(report.members)
    learned = report.sets["labeled"].rows if "labeled" in report.sets else 0
    source = f"{learned:,} labeled rows" if learned else "no labeled row"
    members = f"{count} models" if count > 1 else "one model"
    return (
        f"{labels.rows:,} texts were given one of {len(labels.counts)} labels by a small "
        f"classifier, the student. It learned from {members}, which had {source} and were asked "
        f"about {report.pool.scored_by_members:,} texts."
    )


def _quality(report: Report) -> tuple[str, str]:
    if report.test is None:
        return "How good these labels are is not known", _hint(report)
    student, rows = report.test.student, report.sets["test"].rows
    low, high = wilson_interval(student.accuracy, rows)
    headline = f"About {100 * student.accuracy:.0f} of 100 labels are right"
    if low <= model_findings.most_frequent(report):
        headline = "These labels cannot be told from a guess"
    sure = student.abstaining
    quality = (
        f"On {rows:,} test rows the student is right on {percent(student.accuracy)} (95\u202f% "
        f"interval: {percent(low)} to {percent(high)})."
    )
    if student.accuracy - student.macro_f1 >= UNEVEN:
        fair = percent(student.macro_f1)
        quality += f" Some labels fare worse: each counted alike, the F1 score is {fair}."
    if 0 < sure.coverage < 1:
        quality += (
            f" Rows with a confidence of {sure.threshold:g} and more are "
            f"{percent(sure.coverage)}, and {percent(sure.accuracy)} of them are right."
        )
    return headline, quality


def _hint(report: Report) -> str:
    """Say the little that is known without a test set."""
    if report.labeled is None:
        return "There is no test set, and there are no labeled rows to measure on."
    if not report.labeled.unseen:
        return "There is no test set, and the models have learned from all the labeled rows."
    ensemble = report.labeled.ensemble
    low, high = wilson_interval(ensemble.accuracy, ensemble.rows)
    return (
        f"There is no test set. The one hint: the ensemble is right on "
        f"{percent(ensemble.accuracy)} of {ensemble.rows:,.0f} labeled rows, each asked of models "
        f"that had not learned from it. The interval of 95\u202f% is {percent(low)} to "
        f"{percent(high)}."
    )
