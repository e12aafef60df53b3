"""What the test set says of the models, in sentences: one rule each, or silence."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np

from pet.display import shown_threshold
from pet.evaluation import wilson_interval
from pet.reporting.findings import Finding, Rule, percent, quoted
from pet.reporting.report_file import Judged, Measured, Pair, Report

# Where a sentence begins. They are habits, not laws; the tables below every sentence say the rest.
WIDE = 0.05  # half an interval: more, and a test set is small
MISCALIBRATED = 0.1  # expected calibration error
BEHIND = 0.03  # accuracy of the student against the ensemble's
WEAK_PATTERN = 0.1  # accuracy of a pattern against the best one's
MISSED, ENOUGH = 0.6, 10  # recall of a label, and the rows from which it is spoken of
WANTED = (0.9, 0.95, 0.99)  # accuracies that people ask for


def _no_test_set(report: Report, run: str) -> Finding | None:
    if report.test is not None:
        return None
    return Finding(
        "serious", "Measure before you use the labels",
        "Nobody has held the student against known answers yet.",
        "Label 100 to 200 rows of the pool by hand, drawn at random. Give them as --test to the "
        "same pet run command, which then fills in this page; or measure the student only:",
        f"pet evaluate {run} --test YOUR-ROWS.csv",
    )  # fmt: skip


def _leak(report: Report, run: str) -> Finding | None:
    if not report.leaked:
        return None
    return Finding(
        "serious", "The test set leaks",
        f"{report.leaked:,} texts of the test set stand in the labeled set too, so every accuracy "
        "here is too good.", "Take them out of one of the two files, and run again.",
    )  # fmt: skip


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
        "serious", "No better than always giving the same label",
        f"The most frequent label has {percent(most)} of the test rows; the student cannot be told "
        "from that.", "Look at the words and patterns with pet check, try a larger model or a "
        "sentence encoder (--encoder), or label more rows.",
    )  # fmt: skip


def _small_test_set(report: Report, run: str) -> Finding | None:
    if report.test is None:
        return None
    rows = report.sets["test"].rows
    low, high = wilson_interval(report.test.student.accuracy, rows)
    if high - low <= 2 * WIDE:
        return None
    return Finding(
        "care", "The test set is small",
        f"With {rows:,} rows, anything from {percent(low)} to {percent(high)} may be true, and "
        "most differences in the tables below are chance.",
        "Label more test rows: four times as many halve the interval.",
    )  # fmt: skip


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
            "note", "Patterns and plain training cannot be told apart",
            f"{what} On this test set that difference may be chance.",
        )  # fmt: skip
    if plain > ensemble:
        return Finding(
            "care", "The supervised baseline beats the ensemble", what,
            "Look at the words and patterns with pet check: the language model does not understand "
            "them. Or take the baseline, which is a classifier like the student; in Python:",
            _load_line(run, "supervised"),
        )  # fmt: skip
    return Finding("good", "The patterns pay", what)


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
        "care", "The student is behind its teachers",
        f"Student {percent(test.student.accuracy)}, ensemble {percent(test.ensemble.accuracy)}.",
        "Label with the ensemble, which is slower, or give the student a larger model "
        "(--student-model), more unlabeled rows or more steps:",
        f"pet label {run} --pool POOL --out DIR --with ensemble",
    )  # fmt: skip


def _best_pattern(report: Report, run: str) -> Finding | None:
    test = report.test
    if test is None:
        return None
    _, high = wilson_interval(test.ensemble.accuracy, test.ensemble.rows)
    if test.best_pattern.accuracy <= high:
        return None
    name, best = quoted(test.best_pattern.name), test.best_pattern.accuracy
    return Finding(
        "note", "One pattern alone does better",
        f"{name} {percent(best)}, all together {percent(test.ensemble.accuracy)}. It was picked on "
        "the test rows, which flatters it.", "Take the weakest patterns out of the task file.",
    )  # fmt: skip


def _weak_pattern(report: Report, run: str) -> Finding | None:
    if report.test is None or len(report.test.patterns) < 2:
        return None
    accuracies = {name: own.trained.accuracy for name, own in report.test.patterns.items()}
    best, worst = max(accuracies.values()), min(accuracies, key=lambda name: accuracies[name])
    low, _ = wilson_interval(best, report.sets["test"].rows)
    if accuracies[worst] > min(low, best - WEAK_PATTERN):
        return None
    return Finding(
        "note", f"The pattern {quoted(worst)} trails",
        f"It is right on {percent(accuracies[worst])}, the best one on {percent(best)}.",
        "Look at it with pet check; change its wording or its words, or leave it out.",
    )  # fmt: skip


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
        return Finding("note", "Confidence is lower than it should be",
                       f"{what} A threshold keeps fewer rows than it could.", how)  # fmt: skip
    return Finding("care", "Do not read confidence as a probability",
                   f"{what} A threshold lets through more errors than it says.", how)  # fmt: skip


def mean_confidence(judged: Judged) -> float:
    """Return how sure a model is on average, on the rows that it was measured on."""
    rows = sum(part.rows for part in judged.reliability)
    return sum(part.rows * part.confidence for part in judged.reliability) / max(rows, 1)


def _wanted_accuracy(report: Report, run: str) -> Finding | None:
    """Say which threshold gives an accuracy that people ask for, by more than chance."""
    if report.test is None:
        return None
    student, rows = report.test.student, report.sets["test"].rows
    for wanted in WANTED:
        good = [
            point for point in student.coverage
            if wilson_interval(point.accuracy, point.coverage * rows)[0] >= wanted
        ]  # fmt: skip
        if student.accuracy < wanted and good:
            point = max(good, key=lambda point: point.coverage)
            return Finding(
                "good", f"If you need {100 * wanted:.0f} of 100 right",
                f"Keep rows with a confidence of {shown_threshold(point.threshold):g} and more: "
                f"{percent(point.coverage)} of the test rows, {percent(point.accuracy)} of them "
                "right. Leave the others to a person.",
            )  # fmt: skip
    return None


def _missed_label(report: Report, run: str) -> Finding | None:
    if report.test is None:
        return None
    confusion, names = np.array(report.test.student.confusion), report.label_names
    rows = confusion.sum(axis=1)
    recall = np.where(rows >= ENOUGH, confusion.diagonal() / np.maximum(rows, 1), 1.0)
    worst = int(recall.argmin())
    if recall[worst] >= MISSED:
        return None
    others = confusion[worst].copy()
    others[worst] = 0
    taken = int(others.argmax())
    return Finding(
        "care", f"{quoted(names[worst])} is often missed",
        f"{percent(float(recall[worst]))} of its {rows[worst]:,} test rows are found; "
        f"{others[taken]:,} are taken for {quoted(names[taken])}.",
        "Add labeled rows of both, or better words for them.",
    )  # fmt: skip


RULES: tuple[Rule, ...] = (
    _no_test_set, _leak, _guess, _student_behind, _baseline, _small_test_set, _confidence,
    _missed_label, _wanted_accuracy, _best_pattern, _weak_pattern,
)  # fmt: skip
