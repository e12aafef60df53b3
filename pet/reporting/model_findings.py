"""Findings about the models on the test set: a rule each."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.escaping import shown_threshold
from pet.method.metrics import wilson_interval
from pet.method.paired_tests import LEVEL, mcnemar
from pet.reporting.findings import Finding, Rule, percent, quoted, with_labels_in_use
from pet.reporting.report_file import Evaluation, Measured, Pair, Report

# Thresholds from which a finding is reported. They are conventions; the tables have all figures.
WIDE = 0.05  # half an interval: more, and a test set is small

MISCALIBRATED = 0.1  # expected calibration error

BEHIND = 0.03  # accuracy of the student against the ensemble's

WEAK_PATTERN = 0.1  # accuracy of a pattern against the best one's

POOR, ENOUGH = 0.6, 10  # recall or precision of a label, and the rows from which it counts

NAMED = 3  # labels at most

WANTED = (0.9, 0.95, 0.99)  # accuracies for which a threshold is named


def _no_test_set(report: Report, run: str) -> Finding | None:
    if report.test is not None:
        return None
    return Finding(
        "serious",
        "Measure before you use the labels",
        "The student's accuracy has not been measured yet.",
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
        f"{report.leaked:,} texts of the test set are in the labeled set too, so every accuracy "
        "here is too high.",
        "Take them out of one of the two files, and run again.",
    )


def _unused_labels(report: Report, run: str) -> Finding | None:
    if not report.unused_labels:
        return None
    return Finding(
        "serious",
        "The labeled rows were not learned from",
        f"{report.unused_labels[0].upper()}{report.unused_labels[1:]}.",
        "Change that setting first: until then, more labeled rows change next to nothing. The "
        "command of this run stands under Reproducing the run.",
    )


def most_frequent(report: Report) -> float:
    """Return the share of the test rows that has the most frequent label."""
    counts = report.sets["test"].counts
    return max(counts.values()) / sum(counts.values())


def _guess(report: Report, run: str) -> Finding | None:
    if report.tested is None or report.several:
        return None
    low, _ = wilson_interval(report.tested.accuracy, report.sets["test"].rows)
    most = most_frequent(report)
    if low > most:
        return None
    return Finding(
        "serious",
        "No better than always predicting the same label",
        f"The most frequent label has {percent(most)} of the test rows; the "
        f"{report.labels.labeler}'s accuracy is not significantly higher.",
        "Look at the words and patterns with pet check"
        + with_labels_in_use(
            report, ", try a larger model or a sentence encoder (--encoder), or label more rows"
        )
        + ".",
    )


def _small_test_set(report: Report, run: str) -> Finding | None:
    if report.tested is None:
        return None
    rows = report.sets["test"].rows
    low, high = wilson_interval(report.tested.accuracy, rows)
    if high - low <= 2 * WIDE:
        return None
    return Finding(
        "care",
        "The test set is small",
        f"With {rows:,} rows the 95\u202f% interval of the accuracy is {percent(low)} to "
        f"{percent(high)}, and most differences in the tables below may be chance.",
        "Label more test rows: four times as many halve the interval.",
    )


def _pair(measured: Measured, one: str, other: str) -> Pair | None:
    return next((p for p in measured.pairs if (p.one, p.other) == (one, other)), None)


def differ_significantly(pair: Pair | None) -> bool:
    """Test whether the accuracies of two models differ on the same rows."""
    return pair is not None and mcnemar(pair.only_one_right, pair.only_other_right) < LEVEL


def _surely_apart(test: Measured, one: str, other: str) -> bool:
    """Return whether one model is right about more rows, significantly, and so by its main figure.

    Where a text may have several labels, rows are right where all of their labels are.
    """
    figures = getattr(test, one), getattr(test, other)
    more_rows, more = (
        getattr(figures[0], name) > getattr(figures[1], name) for name in ("accuracy", "main")
    )
    return differ_significantly(_pair(test, one, other)) and more_rows == more


def _baseline(report: Report, run: str) -> Finding | None:
    test = report.test
    if test is None or test.supervised is None:
        return None
    ensemble, plain = test.ensemble.main, test.supervised.main
    figures = f"ensemble {percent(ensemble)}, baseline {percent(plain)}{_by(report)}"
    what = f"A plain classifier trained on the same labeled rows is the baseline: {figures}."
    if not _surely_apart(test, "ensemble", "supervised"):
        return Finding(
            "note",
            "No significant difference from the supervised baseline",
            f"{what} On this test set the difference may be chance.",
        )
    if plain > ensemble:
        words = (
            "Look at the words and patterns with pet check: they may not suit the language model. "
        )
        return Finding(
            "care",
            "The supervised baseline beats the ensemble",
            what,
            with_labels_in_use(report, f"{words} Or take", "Take")
            + " the baseline, which is a classifier like the student; in Python:",
            _load_line(run, "supervised"),
        )
    if test.encoder is not None and test.encoder.main >= ensemble:
        return Finding(
            "note",
            "The sentence encoder alone is as accurate",
            f"{what} The encoder member alone: {percent(test.encoder.main)}.",
        )
    who = "The patterns beat" if test.encoder is None else "Patterns and encoder beat"
    return Finding("good", f"{who} the supervised baseline", what)


def _by(report: Report) -> str:
    """Name the measure that figures are of, where it is not the accuracy."""
    return " (micro-F1)" if report.several else ""


def _load_line(run: str, name: str) -> str:
    """Return the Python line that loads a classifier of a run; the folder is quoted for a shell."""
    folder = Path(*shlex.split(run), name).as_posix()
    return f"from pet.estimator import PetClassifier; PetClassifier.load({folder!r})"


def _student_behind(report: Report, run: str) -> Finding | None:
    test = report.test
    if test is None or test.student.main > test.ensemble.main - BEHIND:
        return None
    if not _surely_apart(test, "student", "ensemble"):
        return None
    student, ensemble = percent(test.student.main), percent(test.ensemble.main)
    text = f"Student {student}, ensemble {ensemble}{_by(report)}."
    if report.labels.of_ensemble:
        text += f" So the ensemble labels the {report.labels.of_ensemble:,} rows that it scored."
    return Finding(
        "care",
        "The student is less accurate than its teachers",
        text,
        "Label other texts with the ensemble, which is slower, or give the student a larger model "
        "(--student-model), more unlabeled rows or more steps:",
        f"pet label {run} --pool POOL --out DIR --with ensemble",
    )


SIMPLE = {
    "linear_supervised": "logistic regression on TF-IDF of the labeled rows",
    "linear_encoder": "logistic regression on the encoder's vectors of the labeled rows",
    "linear_student": "logistic regression on TF-IDF, of the student's soft labels",
}


def _simple_suffices(report: Report, run: str) -> Finding | None:
    """Say what would help most where the student is no better than what takes seconds."""
    test = report.test
    if test is None or report.unused_labels:
        return None
    known = {name: own for name in SIMPLE if (own := getattr(test, name)) is not None}
    as_good = {name: own for name, own in known.items() if own.main >= test.student.main}
    if not as_good:
        return None
    surely = any(_surely_apart(test, "student", name) for name in as_good)
    figures = ", ".join(f"{SIMPLE[name]} {percent(own.main)}" for name, own in as_good.items())
    return Finding(
        "serious" if surely else "care",
        "The student is no better than a simple classifier",
        f"Student {percent(test.student.main)}; {figures}{_by(report)}.",
        f"What would help most: {_stronger(report, list(as_good))}.",
    )


def _stronger(report: Report, as_good: list[str]) -> str:
    """Name the models to change where simple classifiers are as good."""
    assert report.test is not None, "the models were measured"
    student = "a larger student (--student-model), or more steps of it (student.steps)"
    if as_good == ["linear_student"]:
        return student
    if report.test.encoder is None:
        models = "a larger language model (--model) or, for topics, a sentence encoder (--encoder)"
    else:
        models = "a larger language model (--model), or a better sentence encoder (--encoder)"
    return f"{models}, and {student}" if "linear_student" in as_good else models


def _best_pattern(report: Report, run: str) -> Finding | None:
    test = report.test
    if test is None or test.best_pattern is None:
        return None
    _, high = wilson_interval(test.ensemble.main, test.ensemble.rows)
    if test.best_pattern.main <= high:
        return None
    name, best = quoted(test.best_pattern.name), test.best_pattern.main
    return Finding(
        "note",
        "One pattern alone is more accurate",
        f"{name} {percent(best)}, ensemble {percent(test.ensemble.main)}{_by(report)}. It was "
        "selected on the test rows, so its figure is optimistic.",
        "Take the weakest patterns out of the task file.",
    )


def _weak_pattern(report: Report, run: str) -> Finding | None:
    if report.test is None or len(report.test.patterns) < 2:
        return None
    patterns = report.test.patterns.items()
    accuracies = {name: own.trained.main for name, own in patterns if own.trained is not None}
    best, worst = max(accuracies.values()), min(accuracies, key=lambda name: accuracies[name])
    low, _ = wilson_interval(best, report.sets["test"].rows)
    if accuracies[worst] > min(low, best - WEAK_PATTERN):
        return None
    measure = "micro-F1" if report.several else "accuracy"
    return Finding(
        "note",
        f"The pattern {quoted(worst)} is much less accurate",
        f"Its {measure} is {percent(accuracies[worst])}, the best pattern's {percent(best)}.",
        "Look at it with pet check; change its wording or its words, or leave it out.",
    )


def _confidence(report: Report, run: str) -> Finding | None:
    tested, who = report.tested, report.labels.labeler
    if tested is None:
        return None
    if report.several:
        return _uncalibrated_labels(report, tested)
    # A bin of n rows is off by 0.4 / sqrt(n) on average when the model is calibrated.
    rows = np.array([part.rows for part in tested.reliability])
    if tested.ece <= MISCALIBRATED + 0.4 * np.sqrt(rows).sum() / rows.sum():
        return None
    confidence = mean_confidence(tested)
    what = (
        f"Its mean confidence is {percent(confidence)}, its accuracy {percent(tested.accuracy)} "
        f"(expected calibration error {percent(tested.ece)})."
    )
    how = "Choose a threshold by accuracy against coverage below, not by its value."
    if confidence < tested.accuracy:
        return Finding(
            "note",
            f"The {who} is underconfident",
            f"{what} A threshold keeps fewer rows than its value suggests.",
            how,
        )
    return Finding(
        "care",
        f"The {who} is overconfident",
        f"{what} A threshold lets through more errors than its value suggests.",
        how,
    )


def _uncalibrated_labels(report: Report, tested: Evaluation) -> Finding | None:
    """Name the labels whose probabilities are off by more than so many rows leave to chance."""
    chance = 0.4 / np.sqrt(report.sets["test"].rows)
    wrong = [
        f"{quoted(label)} ({percent(own.ece)})"
        for label, own in zip(report.label_names, tested.by_label, strict=True)
        if own.ece > MISCALIBRATED + chance
    ]
    if not wrong:
        return None
    more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
    return Finding(
        "care",
        "Some labels' probabilities are off",
        f"Expected calibration error: {', '.join(wrong[:NAMED])}{more}.",
        with_labels_in_use(report, "Add labeled rows with and without these labels."),
    )


def mean_confidence(evaluation: Evaluation) -> float:
    """Return a model's mean confidence on the rows that it was measured on."""
    rows = sum(part.rows for part in evaluation.reliability)
    return sum(part.rows * part.confidence for part in evaluation.reliability) / max(rows, 1)


def _wanted_accuracy(report: Report, run: str) -> Finding | None:
    """Name a threshold that gives a wanted accuracy, by the lower end of its interval."""
    tested = report.tested
    if tested is None:
        return None
    rows = report.sets["test"].rows
    for wanted in WANTED:
        good = [
            point
            for point in tested.coverage
            if wilson_interval(point.accuracy, point.coverage * rows)[0] >= wanted
        ]
        if tested.accuracy < wanted and good:
            point = max(good, key=lambda point: point.coverage)
            return Finding(
                "good",
                f"If you need an accuracy of {100 * wanted:.0f}\u202f%",
                f"Keep rows with a confidence of {shown_threshold(point.threshold):g} and more: "
                f"coverage {percent(point.coverage)}, accuracy {percent(point.accuracy)} on the "
                "test set. Leave the others to a person.",
            )
    return None


def _low_recall(report: Report, run: str) -> Finding | None:
    return _poor_labels(
        report,
        "recall",
        "Of the {rows} test rows of {label}, {share} are predicted as it, {mostly} as {other}.",
        f"{_more_or_better(report)}.",
    )


def _low_precision(report: Report, run: str) -> Finding | None:
    return _poor_labels(
        report,
        "precision",
        "Of the {rows} test rows predicted as {label}, {share} have it; {mostly} have {other}.",
        f"Check the rows of this label by hand before use. {_more_or_better(report)}.",
    )


def _more_or_better(report: Report) -> str:
    words = "hoose better words"
    return with_labels_in_use(report, f"Add labeled rows of both labels, or c{words}", f"C{words}")


def _poor_labels(report: Report, metric: str, line: str, action: str) -> Finding | None:
    """Name the labels of low recall or precision, and the label most mistaken for each."""
    if report.tested is None:
        return None
    if report.several:
        return _poor_of_several(report, report.tested, metric)
    confusion = np.array(report.tested.confusion)
    confusion = confusion if metric == "recall" else confusion.T
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
    return Finding("care", f"Low {metric}: {first}{more}", " ".join(lines), action)


def _poor_of_several(report: Report, tested: Evaluation, metric: str) -> Finding | None:
    """Name the labels, of several a text, of low recall or precision."""
    poor = []
    for label, own in zip(report.label_names, tested.by_label, strict=True):
        share, rows = (own.recall, own.rows) if metric == "recall" else (own.precision, own.given)
        if rows >= ENOUGH and share is not None and share < POOR:
            poor.append((share, rows, quoted(label)))
    if not poor:
        return None
    poor.sort()
    what = (
        "have it, {share} of them were given it"
        if metric == "recall"
        else ("were given it, {share} of them have it")
    )
    lines = [
        f"{label}: {rows:,} test rows {what.format(share=percent(share))}."
        for share, rows, label in poor[:NAMED]
    ]
    more = f" and {len(poor) - NAMED} more labels" if len(poor) > NAMED else ""
    first = ", ".join(label for _, _, label in poor[:NAMED])
    words = with_labels_in_use(report, "Add labeled rows with this label, or c", "C")
    return Finding(
        "care", f"Low {metric}: {first}{more}", " ".join(lines), f"{words}hoose better words."
    )


def poor_labels(confusion: NDArray[np.int64]) -> list[tuple[int, float, int]]:
    """Find labels of low recall, the worst first: label, recall, rows.

    Args:
        confusion: [true label, predicted one]; transposed, the labels of low precision are found.
    """
    rows = confusion.sum(axis=1)
    share = confusion.diagonal() / np.maximum(rows, 1)
    found = np.flatnonzero((rows >= ENOUGH) & (share < POOR))
    worst = found[np.argsort(share[found], kind="stable")]
    return [(int(label), float(share[label]), int(rows[label])) for label in worst]


RULES: tuple[Rule, ...] = (
    _unused_labels, _no_test_set, _leak, _simple_suffices, _guess, _student_behind, _baseline,
    _small_test_set, _confidence, _low_recall, _low_precision, _wanted_accuracy,
    _best_pattern, _weak_pattern,
)  # fmt: skip
