"""What the test set says of the models, in sentences: one rule each, or silence."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.escaping import shown_threshold
from pet.method.metrics import wilson_interval
from pet.reporting.findings import Finding, Rule, percent, quoted
from pet.reporting.report_file import Evaluation, Measured, Pair, Report

# Where a sentence begins. They are habits, not laws; the tables below every sentence say the rest.
WIDE = 0.05  # half an interval: more, and a test set is small

MISCALIBRATED = 0.1  # expected calibration error

BEHIND = 0.03  # accuracy of the student against the ensemble's

WEAK_PATTERN = 0.1  # accuracy of a pattern against the best one's

POOR, ENOUGH = 0.6, 10  # recall or precision of a label, and the rows from which it is spoken of

NAMED = 3  # labels at most

WANTED = (0.9, 0.95, 0.99)  # accuracies that people ask for


def _no_test_set(report: Report, run: str) -> Finding | None:
    if report.test is not None:
        return None
    return Finding(
        "serious",
        "Measure before you use the labels",
        "Nobody has held the student against known answers yet.",
        "Label 100 to 200 rows of the pool by hand, drawn at random. Give them as --test to the "
        "same pet run command, which then fills in this page; or measure the student only:",
        f"pet evaluate {run} --test YOUR-ROWS.csv",
    )


def _leak(report: Report, run: str) -> Finding | None:
    if not report.leaked:
        return None
    return Finding(
        "serious",
        "The test set leaks",
        f"{report.leaked:,} texts of the test set stand in the labeled set too, so every accuracy "
        "here is too good.",
        "Take them out of one of the two files, and run again.",
    )


def most_frequent(report: Report) -> float:
    """Return the share of the test rows that has the most frequent label."""
    counts = report.sets["test"].counts
    return max(counts.values()) / sum(counts.values())


def _guess(report: Report, run: str) -> Finding | None:
    if report.test is None:
        return None
    low, _ = wilson_interval(report.test.student.accuracy, report.sets["test"].rows)
    most = most_frequent(report)
    if low > most:
        return None
    return Finding(
        "serious",
        "No better than always giving the same label",
        f"The most frequent label has {percent(most)} of the test rows; the student cannot be told "
        "from that.",
        "Look at the words and patterns with pet check, try a larger model or a "
        "sentence encoder (--encoder), or label more rows.",
    )


def _small_test_set(report: Report, run: str) -> Finding | None:
    if report.test is None:
        return None
    rows = report.sets["test"].rows
    low, high = wilson_interval(report.test.student.accuracy, rows)
    if high - low <= 2 * WIDE:
        return None
    return Finding(
        "care",
        "The test set is small",
        f"With {rows:,} rows, anything from {percent(low)} to {percent(high)} may be true, and "
        "most differences in the tables below are chance.",
        "Label more test rows: four times as many halve the interval.",
    )


def _pair(measured: Measured, one: str, other: str) -> Pair | None:
    return next((p for p in measured.pairs if (p.one, p.other) == (one, other)), None)


def told_apart(pair: Pair | None) -> bool:
    """Say whether two models differ by more than chance on the same rows (McNemar 1947, 5 %)."""
    if pair is None:
        return False
    gap = pair.only_one_right - pair.only_other_right
    return gap**2 > 1.96**2 * (pair.only_one_right + pair.only_other_right)


def _baseline(report: Report, run: str) -> Finding | None:
    test = report.test
    if test is None or test.supervised is None:
        return None
    ensemble, plain = test.ensemble.accuracy, test.supervised.accuracy
    figures = f"ensemble {percent(ensemble)}, baseline {percent(plain)}"
    what = f"A plain classifier trained on the same labeled rows is the baseline: {figures}."
    if not told_apart(_pair(test, "ensemble", "supervised")):
        return Finding(
            "note",
            "Patterns and plain training cannot be told apart",
            f"{what} On this test set that difference may be chance.",
        )
    if plain > ensemble:
        return Finding(
            "care",
            "The supervised baseline beats the ensemble",
            what,
            "Look at the words and patterns with pet check: the language model does not understand "
            "them. Or take the baseline, which is a classifier like the student; in Python:",
            _load_line(run, "supervised"),
        )
    if test.encoder is not None and test.encoder.accuracy >= ensemble:
        return Finding(
            "note",
            "The sentence encoder alone does as well",
            f"{what} The encoder's member by itself: {percent(test.encoder.accuracy)}.",
        )
    pay = "The patterns pay" if test.encoder is None else "Patterns and encoder pay"
    return Finding("good", pay, what)


def _load_line(run: str, name: str) -> str:
    """Say in Python how a classifier of a run is loaded; the folder comes quoted for a shell."""
    folder = Path(*shlex.split(run), name).as_posix()
    return f"from pet.estimator import PetClassifier; PetClassifier.load({folder!r})"


def _student_behind(report: Report, run: str) -> Finding | None:
    test = report.test
    if test is None or test.student.accuracy > test.ensemble.accuracy - BEHIND:
        return None
    if not told_apart(_pair(test, "student", "ensemble")):
        return None
    return Finding(
        "care",
        "The student is behind its teachers",
        f"Student {percent(test.student.accuracy)}, ensemble {percent(test.ensemble.accuracy)}.",
        "Label with the ensemble, which is slower, or give the student a larger model "
        "(--student-model), more unlabeled rows or more steps:",
        f"pet label {run} --pool POOL --out DIR --with ensemble",
    )


def _best_pattern(report: Report, run: str) -> Finding | None:
    test = report.test
    if test is None or test.best_pattern is None:
        return None
    _, high = wilson_interval(test.ensemble.accuracy, test.ensemble.rows)
    if test.best_pattern.accuracy <= high:
        return None
    name, best = quoted(test.best_pattern.name), test.best_pattern.accuracy
    return Finding(
        "note",
        "One pattern alone does better",
        f"{name} {percent(best)}, all together {percent(test.ensemble.accuracy)}. It was picked on "
        "the test rows, which flatters it.",
        "Take the weakest patterns out of the task file.",
    )


def _weak_pattern(report: Report, run: str) -> Finding | None:
    if report.test is None or len(report.test.patterns) < 2:
        return None
    patterns = report.test.patterns.items()
    accuracies = {name: own.trained.accuracy for name, own in patterns if own.trained is not None}
    best, worst = max(accuracies.values()), min(accuracies, key=lambda name: accuracies[name])
    low, _ = wilson_interval(best, report.sets["test"].rows)
    if accuracies[worst] > min(low, best - WEAK_PATTERN):
        return None
    return Finding(
        "note",
        f"The pattern {quoted(worst)} trails",
        f"It is right on {percent(accuracies[worst])}, the best one on {percent(best)}.",
        "Look at it with pet check; change its wording or its words, or leave it out.",
    )


def _confidence(report: Report, run: str) -> Finding | None:
    if report.test is None:
        return None
    student = report.test.student
    # A bin of n rows is off by 0.4 / sqrt(n) on average when confidence is honest.
    rows = np.array([part.rows for part in student.reliability])
    if student.ece <= MISCALIBRATED + 0.4 * np.sqrt(rows).sum() / rows.sum():
        return None
    said = mean_confidence(student)
    what = (
        f"The student says {percent(said)} on average and is right on "
        f"{percent(student.accuracy)} (calibration error {percent(student.ece)})."
    )
    how = "Take a threshold from the table of coverage below, not from the number itself."
    if said < student.accuracy:
        return Finding(
            "note",
            "Confidence is lower than it should be",
            f"{what} A threshold keeps fewer rows than it could.",
            how,
        )
    return Finding(
        "care",
        "Do not read confidence as a probability",
        f"{what} A threshold lets through more errors than it says.",
        how,
    )


def mean_confidence(evaluation: Evaluation) -> float:
    """Return how sure a model is on average, on the rows that it was measured on."""
    rows = sum(part.rows for part in evaluation.reliability)
    return sum(part.rows * part.confidence for part in evaluation.reliability) / max(rows, 1)


def _wanted_accuracy(report: Report, run: str) -> Finding | None:
    """Say which threshold gives an accuracy that people ask for, by more than chance."""
    if report.test is None:
        return None
    student, rows = report.test.student, report.sets["test"].rows
    for wanted in WANTED:
        good = [
            point
            for point in student.coverage
            if wilson_interval(point.accuracy, point.coverage * rows)[0] >= wanted
        ]
        if student.accuracy < wanted and good:
            point = max(good, key=lambda point: point.coverage)
            return Finding(
                "good",
                f"If you need {100 * wanted:.0f} of 100 right",
                f"Keep rows with a confidence of {shown_threshold(point.threshold):g} and more: "
                f"{percent(point.coverage)} of the test rows, {percent(point.accuracy)} of them "
                "right. Leave the others to a person.",
            )
    return None


def _missed_labels(report: Report, run: str) -> Finding | None:
    return _poor_labels(
        report,
        "missed",
        "{share} of the {rows} test rows of {label} are found; {mostly} are taken for {other}.",
        "Add labeled rows of them and of what they are taken for, or better words.",
    )


def _wrong_labels(report: Report, run: str) -> Finding | None:
    return _poor_labels(
        report,
        "wrong",
        "Of the {rows} test rows given {label}, {share} are it; {mostly} are really {other}.",
        "Whoever takes the rows of one label has to read them. Add labeled rows of what they "
        "really are, or better words.",
    )


def _poor_labels(report: Report, how: str, line: str, action: str) -> Finding | None:
    """Name the labels that are often missed, or wrong, and what stands in their place."""
    if report.test is None:
        return None
    confusion = np.array(report.test.student.confusion)
    confusion = confusion if how == "missed" else confusion.T
    names, poor = [quoted(name) for name in report.label_names], poor_labels(confusion)
    if not poor:
        return None
    lines = []
    for label, share, rows in poor[:NAMED]:
        others = confusion[label].copy()
        others[label] = 0
        other = int(others.argmax())
        lines.append(
            line.format(
                share=percent(share),
                rows=f"{rows:,}",
                label=names[label],
                mostly=f"{others[other]:,}",
                other=names[other],
            )
        )
    more = f" and {len(poor) - NAMED} more labels" if len(poor) > NAMED else ""
    first = ", ".join(names[label] for label, _, _ in poor[:NAMED])
    verb = "is" if len(poor) == 1 else "are"
    return Finding("care", f"{first}{more} {verb} often {how}", " ".join(lines), action)


def poor_labels(confusion: NDArray[np.int64]) -> list[tuple[int, float, int]]:
    """Find labels of which few rows are right, the worst first: label, share, rows.

    Args:
        confusion: [true label, predicted one]: labels that are missed; transposed, that are wrong.
    """
    rows = confusion.sum(axis=1)
    share = confusion.diagonal() / np.maximum(rows, 1)
    found = np.flatnonzero((rows >= ENOUGH) & (share < POOR))
    worst = found[np.argsort(share[found], kind="stable")]
    return [(int(label), float(share[label]), int(rows[label])) for label in worst]


RULES: tuple[Rule, ...] = (
    _no_test_set, _leak, _guess, _student_behind, _baseline, _small_test_set, _confidence,
    _missed_labels, _wrong_labels, _wanted_accuracy, _best_pattern, _weak_pattern,
)  # fmt: skip
