"""The first lines of a report: what was made, its accuracy, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pet.data.labeled import MISSING
from pet.method.metrics import wilson_interval
from pet.reporting import findings as label_findings
from pet.reporting import model_findings
from pet.reporting.findings import LEVELS, Finding, percent
from pet.reporting.report_file import Evaluation, Report

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
    members = f"an ensemble of {count} models" if count > 1 else "one model"
    distilled = (
        f"distilled from {members} ({_learned_from(report)}, soft labels for "
        f"{report.pool.scored_by_members:,} texts)."
    )
    given = f"{labels.rows:,} texts were given one of {len(labels.counts)} labels"
    if report.several:
        each = sum(labels.counts.values()) / max(labels.rows, 1)
        given = (
            f"{labels.rows:,} texts were given any of {len(labels.counts)} labels ({each:.2f} on "
            f"average, {labels.without:,} texts none)"
        )
    if not labels.of_ensemble:
        return f"{given} by a small classifier, the student. It was {distilled}"
    by, on = MEASURES[labels.choice.by or "accuracy"], SETS[labels.choice.on or "test"]
    rest = labels.rows - labels.of_ensemble
    return (
        f"{given}: {labels.of_ensemble:,} by the ensemble, whose {by} on {on} is significantly "
        f"higher than the student's, {rest:,} by the student, a small classifier that was "
        f"{distilled}"
    )


def _learned_from(report: Report) -> str:
    """Say how many labeled rows there were, and which models have learned from them."""
    if "labeled" not in report.sets:
        return "no labeled rows"
    rows = f"{report.sets['labeled'].rows:,} labeled rows"
    learned = sum(member.trained for member in report.members.values())
    if learned == len(report.members):
        return rows
    return f"{rows}, which {learned or 'none'} of them learned from"


MEASURES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "micro_f1": "micro-F1"}

SETS = {"test": "the test rows", "labeled": "labeled rows, out of fold,"}


def _quality(report: Report) -> tuple[str, str]:
    tested, who = report.tested, report.labels.labeler
    if tested is None:
        return "The accuracy of these labels is not known", _estimate(report)
    rows = report.sets["test"].rows
    if report.several:
        return _quality_of_several(tested, rows, who)
    low, high = wilson_interval(tested.accuracy, rows)
    headline = f"About {100 * tested.accuracy:.0f} of 100 labels are correct"
    if low <= model_findings.most_frequent(report):
        headline = "These labels are no better than a guess"
    own = tested.abstaining
    quality = (
        f"On {rows:,} test rows the {who}'s accuracy is {percent(tested.accuracy)} (95\u202f% "
        f"interval: {percent(low)} to {percent(high)})."
    )
    if tested.accuracy - tested.macro_f1 >= UNEVEN:
        macro_f1 = percent(tested.macro_f1)
        quality += f" Some labels are predicted less well: the macro-F1 score is {macro_f1}."
    if 0 < own.coverage < 1:
        quality += (
            f" With a confidence threshold of {own.threshold:g}, coverage is "
            f"{percent(own.coverage)} and accuracy {percent(own.accuracy)}."
        )
    return headline, quality


def _quality_of_several(tested: Evaluation, rows: int, who: str) -> tuple[str, str]:
    right, given, true = (
        sum(getattr(own, name) for own in tested.by_label) for name in ("right", "given", "rows")
    )
    headline = (
        f"Of 100 labels given about {100 * right / max(given, 1):.0f} are correct; of 100 that "
        f"texts have, about {100 * right / max(true, 1):.0f} are given"
    )
    quality = (
        f"On {rows:,} test rows the {who}'s micro-F1 is {percent(tested.micro_f1)}, its macro-F1 "
        f"{percent(tested.macro_f1)}; for {percent(tested.accuracy)} all labels are right."
    )
    return headline, quality


def _estimate(report: Report) -> str:
    """Describe what is known without a test set: the ensemble's accuracy out of fold."""
    if report.labeled is None:
        return "There is no test set, and there are no labeled rows to measure on."
    if not report.labeled.unseen:
        return "There is no test set, and no labeled row was held out from training."
    ensemble = report.labeled.ensemble
    if report.several:
        return (
            f"There is no test set. A rough estimate: the ensemble's out-of-fold micro-F1 is "
            f"{percent(ensemble.micro_f1)} on {ensemble.rows:,.0f} labeled rows, each predicted by "
            "models that were not trained on it."
        )
    low, high = wilson_interval(ensemble.accuracy, ensemble.rows)
    return (
        f"There is no test set. A rough estimate: the ensemble's out-of-fold accuracy is "
        f"{percent(ensemble.accuracy)} on {ensemble.rows:,.0f} labeled rows, each predicted by "
        f"models that were not trained on it (95\u202f% interval: {percent(low)} to "
        f"{percent(high)})."
    )
