"""Findings about the labels of a run: their form, and the rules that yield them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pet.reporting.report_file import Report

Level = Literal["serious", "care", "note", "good"]

LEVELS: tuple[Level, ...] = ("serious", "care", "note", "good")


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know, and what to do about it."""

    level: Level
    title: str
    text: str
    action: str = ""
    command: str = ""


# A rule yields a finding for a report, or none; the run's folder is quoted for the commands that
# it names.
Rule = Callable[[Report, str], Finding | None]


def percent(share: float | None) -> str:
    """Write a share as a reader expects it; what is not known is a dash."""
    return "–" if share is None else f"{100 * share:.1f}\u202f%"


def quoted(name: str) -> str:
    """Quote a name from the data; isolated, so that it keeps its own direction of writing."""
    return f"“\u2068{name}\u2069”"


def with_labels_in_use(report: Report, advice: str, otherwise: str = "") -> str:
    """Give advice, such as to label more rows, only where labeled rows are learned from."""
    return otherwise if report.unused_labels else advice


OFF = 0.1  # of label shares, in total variation, beyond what so few rows vary by themselves

DISAGREEING = 0.6

ABSTAINING = 0.3

REJECTED = 0.01


def _never_given(report: Report, run: str) -> Finding | None:
    missing = [name for name, count in report.labels.counts.items() if not count]
    if not missing:
        return None
    return Finding(
        "serious",
        f"{len(missing)} of {len(report.labels.counts)} labels were never predicted",
        f"No pool row was predicted as {', '.join(map(quoted, missing[:5]))}"
        f"{' and others' if len(missing) > 5 else ''}.",
        "Look at the words with pet check"
        + with_labels_in_use(report, ", and add labeled rows")
        + ". If the pool has no such texts, this is as it should be.",
    )


def _abstaining(report: Report, run: str) -> Finding | None:
    labels, count = report.labels, len(report.labels.counts)
    measured = report.test or report.labeled
    threshold = measured.student.abstaining.threshold if measured else None
    if threshold is not None and threshold <= 1 / count and not report.several:
        return Finding(
            "note",
            "No row can abstain",
            f"With {count} labels the confidence is always at least {percent(1 / count)}; the "
            f"threshold is {threshold:g}.",
            "Raise it, for example --set abstain_below=0.8.",
        )
    share = labels.abstained / max(labels.rows, 1)
    if share < ABSTAINING:
        return None
    if report.several:
        return Finding(
            "note",
            f"{percent(share)} of the rows have a label in doubt",
            f"Of {labels.abstained:,} texts the answer to some label is less likely to be right "
            "than the threshold; the column abstain says which.",
            "Take the labels whose probability is high enough for you from the column "
            "probabilities.",
        )
    return Finding(
        "care",
        f"{percent(share)} of the rows abstain",
        f"The confidence is below the threshold for {labels.abstained:,} texts.",
        with_labels_in_use(
            report,
            f"Have a person label the most informative ones: `pet review {run}` chooses them, "
            "takes the answers back, and prints the command of the next run.",
        ),
    )


def _distance(one: Mapping[str, int], other: Mapping[str, int]) -> tuple[float, float, str]:
    """Return the distance of label shares, how far it is beyond chance, and the label most off."""
    shares = [
        np.array(list(counts.values())) / max(sum(counts.values()), 1) for counts in (one, other)
    ]
    gaps = np.abs(shares[0] - shares[1])
    rows = max(1, min(sum(one.values()), sum(other.values())))
    chance = 0.4 * np.sqrt((len(gaps) - 1) / rows)  # of a sample of so many rows, on average
    total = float(gaps.sum() / 2)
    return total, float(total - chance), list(one)[int(gaps.argmax())]


def _shares(report: Report, run: str) -> Finding | None:
    if "labeled" not in report.sets:
        return None
    known, given = report.sets["labeled"].counts, report.labels.counts
    total, beyond, name = _distance(known, given)
    if beyond <= OFF:
        return None
    was, now = known[name] / sum(known.values()), given[name] / max(sum(given.values()), 1)
    if report.several:  # a row has other than one label
        was = known[name] / max(report.sets["labeled"].rows, 1)
        now = given[name] / max(report.labels.rows, 1)
    text = (
        f"The total variation distance is {percent(total)}; the largest difference is of "
        f"{quoted(name)}, with {percent(was)} of the labeled rows and {percent(now)} of the pool."
    )
    if len(set(known.values())) == 1:
        text += " The labeled set has equally many rows of each, perhaps by design."
        return Finding("note", "The pool's label shares differ from the labeled set's", text)
    return Finding(
        "care",
        "The pool's label shares differ from the labeled set's",
        text,
        "If the labeled set was drawn at random, the predictions are biased: read some of "
        "the rows with that label.",
    )


def _other_texts(report: Report, run: str) -> Finding | None:
    """Find predicted label shares that differ between test set and pool: a distribution shift."""
    if report.tested is None or report.several:
        return None
    predicted = np.array(report.tested.confusion).sum(axis=0).tolist()
    on_test = dict(zip(report.label_names, predicted, strict=True))
    total, beyond, name = _distance(on_test, report.labels.counts)
    if beyond <= OFF:
        return None
    return Finding(
        "care",
        "The test set differs from the pool",
        f"The {report.labels.labeler}'s predicted label shares of the pool and of the test set "
        f"differ by {percent(total)} (total variation), most of all for {quoted(name)}: the "
        "accuracy measured here may not hold for the pool.",
        "Draw the test rows from the pool, at random.",
    )


def _agreement(report: Report, run: str) -> Finding | None:
    if len(report.members) < 2:
        return None
    mean = float(np.mean([member.agreement for member in report.members.values()]))
    if mean >= DISAGREEING:
        return None
    return Finding(
        "care",
        "The ensemble members disagree",
        f"On average a member predicts the ensemble's label for {percent(mean)} of the texts."
        if not report.several
        else f"On average a member has {percent(mean)} of its labels in common with the ensemble.",
        f"Look at the words and patterns with pet check"
        f"{with_labels_in_use(report, ', or label more rows')}.",
    )


def is_discarded(report: Report, number: int) -> bool:
    """Say whether a generation was trained and then discarded."""
    members = set(report.generations[number].members)
    return number == len(report.generations) - 1 and members != set(report.members)


def _discarded(report: Report, run: str) -> Finding | None:
    last = len(report.generations) - 1
    if last < 0 or not is_discarded(report, last):
        return None
    return Finding(
        "note",
        f"Generation {last} was worse and was discarded",
        f"The ensemble is generation {last - 1}.",
    )


def _rejected(report: Report, run: str) -> Finding | None:
    pool = report.pool
    if pool.rejected / max(pool.rows, 1) < REJECTED:
        return None
    return Finding(
        "note",
        "Rows were rejected",
        f"{pool.rejected:,} of {pool.rows:,} pool rows could not be used.",
        "The section on rejected rows lists them, with reasons.",
    )


def _no_labels(report: Report, run: str) -> Finding | None:
    if "labeled" in report.sets:
        return None
    return Finding(
        "note",
        "No labeled rows were used",
        "The run started zero-shot, from the task's words and patterns alone.",
        "Ten labeled rows per label usually help: --labeled FILE.",
    )


def _silent_rules(report: Report, run: str) -> Finding | None:
    silent = [name for name, rule in report.rules.items() if not rule.coverage]
    if not silent:
        return None
    return Finding(
        "care",
        f"{len(silent)} of {len(report.rules)} rules never fire",
        f"Nothing of what {_some(silent)} look for is in the pool rows that the members scored.",
        "Correct the keywords or the expression in the task file, or take the rule out: pet check "
        "shows where rules fire.",
    )


def _wrong_rules(report: Report, run: str) -> Finding | None:
    measured = report.test or report.labeled
    if measured is None:
        return None
    wrong = [
        name
        for name, own in measured.rules.items()
        if own.rows >= ENOUGH_FIRED and 2 * own.right < own.rows
    ]
    if not wrong:
        return None
    where = "test" if report.test else "labeled"
    counts = ", ".join(
        f"{quoted(name)} in {own.right:,} of {own.rows:,}"
        for name, own in measured.rules.items()
        if name in wrong[:3]
    )
    return Finding(
        "care",
        "Rules are more often wrong than right",
        f"Of the {where} rows in which they fire, they are right: {counts}.",
        "Narrow the keywords or the expression in the task file, or take the rule out.",
    )


def _some(names: list[str]) -> str:
    return ", ".join(map(quoted, names[:5])) + (" and others" if len(names) > 5 else "")


ENOUGH_FIRED = 5  # rows in which a rule fires, from which it is judged


RULES: tuple[Rule, ...] = (
    _never_given,
    _other_texts,
    _shares,
    _abstaining,
    _agreement,
    _discarded,
    _no_labels,
    _silent_rules,
    _wrong_rules,
    _rejected,
)
