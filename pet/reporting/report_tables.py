"""The rows of the report's tables, worked out from the figures of a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.method.metrics import wilson_interval
from pet.reporting.findings import is_discarded, percent
from pet.reporting.report_file import Evaluation, Measured, Metrics, Report

LARGEST_MATRIX = 30  # labels of a matrix that can be looked over; of more, the worst pairs are

WORST = 20  # pairs of labels, at most

NAMED = (6, 12)  # labels, and characters, up to which a column can carry a label's name


@dataclass(frozen=True)
class ModelRow:
    """A model with its accuracy, and the interval of 95 % that so many rows leave."""

    name: str
    note: str
    accuracy: float
    low: float
    high: float
    macro_f1: float
    ece: float
    rows: float
    micro_f1: float | None = None
    log_loss: float | None = None


def measured_held_out(report: Report) -> Measured | None:
    """Return what was measured on the test set or out of fold; None if nothing was."""
    if report.test is not None:
        return report.test
    return report.labeled if report.labeled is not None and report.labeled.unseen else None


def held_out_evaluation(report: Report) -> Evaluation | None:
    """Who labels, on the test set; or the ensemble out of fold on the labeled set."""
    if report.test is not None:
        return report.tested
    measured = measured_held_out(report)
    return None if measured is None else measured.ensemble


def model_rows(report: Report) -> list[ModelRow]:
    """Set baseline, best pattern, encoder, ensemble and student side by side."""
    measured = measured_held_out(report)
    if measured is None:
        return []
    on_test = report.test is not None  # baseline and student were trained on the labeled rows
    best = measured.best_pattern
    # In generation 0 the encoder member is that very baseline.
    encoder = None if measured.encoder == measured.linear_encoder else measured.encoder
    found: list[tuple[str, str, Metrics | None]] = [
        ("supervised, linear", "words of the labeled rows", measured.linear_supervised),
        ("supervised baseline", "labeled rows alone", measured.supervised if on_test else None),
        ("encoder, linear", "vectors of the labeled rows", measured.linear_encoder),
        ("best single pattern", "" if best is None else best.name, best),
        ("encoder", "", encoder),
        ("ensemble without rules", "", measured.without_rules),
        ("ensemble", _ensemble_of(report), measured.ensemble),
        ("student", "labels the pool", measured.student if on_test else None),
        ("student, linear", "words, of the same soft labels", measured.linear_student),
    ]
    return [
        ModelRow(
            name,
            note,
            own.accuracy,
            *wilson_interval(own.accuracy, own.rows),
            own.macro_f1,
            own.ece,
            own.rows,
            own.micro_f1,
            own.log_loss,
        )
        for name, note, own in found
        if own is not None
    ]


def _ensemble_of(report: Report) -> str:
    models = _count(len(report.members), "model")
    return f"{models}, {_count(len(report.rules), 'rule')}" if report.rules else models


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def pattern_rows(report: Report) -> list[dict[str, Any]]:
    """Give a row to every pattern, its repetitions together, and to the encoder."""
    measured, held_out = report.test or report.labeled, measured_held_out(report)
    total = sum(report.weights.values())
    rows = []
    for name in dict.fromkeys(member.pattern for member in report.members.values()):
        own = {key: of for key, of in report.members.items() if of.pattern == name}
        is_encoder = any(member.kind == "encoder" for member in own.values())
        trained = any(member.trained for member in own.values())
        zero_shot = after = None
        if measured is not None and not is_encoder:
            before = measured.patterns[name].zero_shot
            zero_shot = None if before is None else before.main
        if held_out is not None and is_encoder and held_out.encoder is not None:
            after = held_out.encoder.main
        if held_out is not None and not is_encoder and trained:
            found = held_out.patterns[name].trained
            after = None if found is None else found.main
        rows.append(
            {
                "name": "encoder" if is_encoder else name,
                "template": report.templates.get(name, ""),
                "zero_shot": zero_shot,
                "trained": after,
                "weight": sum(report.weights[key] for key in own) / total if total else None,
                "agreement": float(np.mean([member.agreement for member in own.values()])),
            }
        )
    return rows


def rule_rows(report: Report) -> list[dict[str, Any]]:
    """Give a row to every rule, with how often it is right on labeled and test rows."""
    return [
        {
            "name": name,
            **dict(rule),
            "counted": [
                f"{own.right:,} of {own.rows:,}"
                for own in (found.rules[name] for found in _measured_with_rules(report))
            ],
        }
        for name, rule in report.rules.items()
    ]


def exit_rows(report: Report) -> list[dict[str, Any]]:
    """Give a row to every layer of a student with early exits, with shares of rows."""
    if report.exits is None:
        return []
    sets = {"pool, held out": report.exits.held_out, "test": report.exits.test}
    known = {name: own.layers for name, own in sets.items() if own is not None}
    counts = report.labels.layers
    if sum(counts):
        known["labels"] = [rows / sum(counts) for rows in counts]
        known["labels"] += [0.0] * (len(report.exits.held_out.layers) - len(counts))
    return [
        {"layer": number, "shares": {name: own[number - 1] for name, own in known.items()}}
        for number in range(1, len(report.exits.held_out.layers) + 1)
    ]


def label_rate(report: Report) -> float | None:
    """Return how many rows a second were labeled, all that it takes included; None if unknown."""
    seconds = report.seconds.get("labels", 0)
    return report.labels.rows / seconds if seconds else None


def sets_with_rules(report: Report) -> list[str]:
    """Name the sets on which rules were counted."""
    return [name for name in ("labeled", "test") if getattr(report, name) is not None]


def _measured_with_rules(report: Report) -> list[Measured]:
    return [found for found in (report.labeled, report.test) if found is not None]


def generation_rows(report: Report) -> list[dict[str, Any]]:
    return [
        {**dict(generation), "discarded": is_discarded(report, number)}
        for number, generation in enumerate(report.generations)
    ]


def share_rows(report: Report) -> list[dict[str, Any]]:
    """Give a row to every label: its share of the pool, of the labeled set, of what abstains."""
    labels, known = report.labels, report.sets.get("labeled")
    return [
        {
            "label": label,
            "rows": rows,
            "pool": rows / max(labels.rows, 1),
            "labeled": known.counts[label] / max(known.rows, 1) if known else None,
            "prior": report.prior.get(label),
            "abstained": labels.abstained_of[label] / rows if rows else None,
        }
        for label, rows in labels.counts.items()
    ]


def histogram_rows(report: Report) -> list[tuple[float, float, int]]:
    """Bounds and rows of the bins of confidence, from the first that holds any."""
    counts = report.labels.confidence_counts
    edges = pairwise(np.linspace(0, 1, len(counts) + 1).tolist())
    rows = [(low, high, count) for (low, high), count in zip(edges, counts, strict=True)]
    first = next((place for place, row in enumerate(rows) if row[2]), 0)
    return rows[first:]


def confusion_table(report: Report) -> dict[str, Any] | None:
    """Lay out recall and precision, with the confusion matrix or the worst pairs of many labels."""
    evaluation, names = held_out_evaluation(report), report.label_names
    if evaluation is None or report.several:
        return None
    counts = np.array(evaluation.confusion)
    true, predicted, right = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    recall, precision = _shares(right, true), _shares(right, predicted)
    if len(names) > LARGEST_MATRIX:
        figures = zip(names, true.tolist(), recall, precision, strict=True)
        return {
            "words": measured_by(report),
            "worst": _worst_pairs(names, counts),
            "of_labels": [
                {"label": name, "rows": rows, "recall": of_true, "precision": of_predicted}
                for name, rows, of_true, of_predicted in figures
            ],
        }
    share = counts / np.maximum(true, 1)[:, None]
    errors = share * ~np.eye(len(names), dtype=bool)
    # Errors are few; they are shaded on a scale of their own, or nobody would see which are most.
    shade = 0.6 * share * np.eye(len(names)) + 0.5 * errors / max(errors.max(), 0.2)
    return {
        "words": measured_by(report),
        "numbered": len(names) > NAMED[0] or any(len(name) > NAMED[1] for name in names),
        "rows": [
            {
                "label": name,
                "cells": [
                    {"rows": int(rows), "shade": shade[i, j], "hit": i == j}
                    for j, rows in enumerate(counts[i])
                ],
                "recall": recall[i],
            }
            for i, name in enumerate(names)
        ],
        "precision": precision,
    }


def _shares(right: NDArray[np.int64], rows: NDArray[np.int64]) -> list[float | None]:
    """Return each label's share of rows that are right; None where it has no rows."""
    return [float(own / of) if of else None for own, of in zip(right, rows, strict=True)]


def _worst_pairs(names: list[str], counts: NDArray[np.int64]) -> list[dict[str, Any]]:
    """List the labels of which most rows were predicted as one other, each with that other."""
    wrong = counts * ~np.eye(len(names), dtype=bool)
    order = np.argsort(-wrong, axis=None, kind="stable")[:WORST]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    return [
        {
            "label": names[i],
            "other": names[j],
            "rows": int(wrong[i, j]),
            "share": float(wrong[i, j] / counts[i].sum()),
            "back": int(wrong[j, i]),
        }
        for i, j in pairs
        if wrong[i, j]
    ]


def level_rows(report: Report) -> list[dict[str, Any]]:
    """Give a row to every level of a tree of labels; none where they are no tree."""
    evaluation, labels = held_out_evaluation(report), report.labels
    figures = [dict(own) for own in evaluation.levels] if evaluation is not None else []
    return [
        {"unsure": unsure / max(labels.rows, 1), **(figures[n] if figures else {})}
        for n, unsure in enumerate(labels.unsure_of_level)
    ]


def measured_by(report: Report) -> str:
    """Say whose figures are shown, and on which set."""
    if report.test is not None:
        return f"{report.labels.labeler.capitalize()}, test set."
    return "Ensemble, labeled set, out of fold."


def several_table(report: Report) -> dict[str, Any] | None:
    """Lay out the figures of each of several labels; None of one label a text."""
    evaluation = held_out_evaluation(report)
    if evaluation is None or not report.several:
        return None
    rows = [
        {"label": label, **dict(own)}
        for label, own in zip(report.label_names, evaluation.by_label, strict=True)
    ]
    return {"words": measured_by(report), "rows": rows}


PAIRS = 12  # of labels that go together, at most


def pair_rows(report: Report) -> list[dict[str, Any]]:
    """List the pairs of several labels that most rows of the pool have, beside the labeled set's.

    First those whose shares differ most.
    """
    labels, known = report.labels, report.sets.get("labeled")
    if not report.several or not labels.together or known is None or not known.together:
        return []
    shares = [np.array(own.together) / max(own.rows, 1) for own in (labels, known)]
    names = report.label_names
    pairs = [
        {"pair": (names[i], names[j]), "pool": shares[0][i, j], "labeled": shares[1][i, j]}
        for i in range(len(names))
        for j in range(i)
        if shares[0][i, j] or shares[1][i, j]
    ]
    pairs.sort(key=lambda own: -abs(own["pool"] - own["labeled"]))
    return pairs[:PAIRS]


def stage_rows(report: Report) -> list[dict[str, Any]]:
    total, longest = sum(report.seconds.values()) or 1.0, max(report.seconds.values(), default=0)
    return [
        {
            "name": name,
            "seconds": seconds,
            "share": seconds / total,
            "bar": seconds / (longest or 1),
        }
        for name, seconds in report.seconds.items()
    ]


def rejected_rows(report: Report) -> list[dict[str, Any]]:
    return [
        {"source": _source(source), "reason": reason, "rows": rows}
        for source, found in report.rejected.items()
        for reason, rows in found.reasons.items()
    ]


def first_rejected(report: Report) -> Iterable[Any]:
    return [row for found in report.rejected.values() for row in found.first]


def _source(name: str) -> str:
    return name if name == "pool" else f"{name} set"


def tiles(report: Report) -> list[dict[str, str]]:
    """The few figures that stand under the headline."""
    labels, evaluation = report.labels, held_out_evaluation(report)
    found = []
    if evaluation is not None:
        low, high = wilson_interval(evaluation.accuracy, evaluation.rows)
        who = f"of the {labels.labeler}" if report.test else "of the ensemble, out of fold"
        if evaluation.micro_f1 is not None:
            note = f"macro-F1 {percent(evaluation.macro_f1)}"
            found.append(_tile(f"Micro-F1 {who}", percent(evaluation.micro_f1), note))
            who = "of whole rows"
        found.append(
            _tile(
                f"Accuracy {who}",
                percent(evaluation.accuracy),
                f"{percent(low)} to {percent(high)}",
            )
        )
        found.append(
            _tile("Calibration error", percent(evaluation.ece), "0 is perfectly calibrated")
        )
    else:
        found.append(_tile("Accuracy", "unknown", "there is no test set"))
    note = f"of {report.pool.rows:,} in the pool"
    if labels.of_ensemble:
        note += f"; {labels.of_ensemble:,} by the ensemble"
    found.append(_tile("Rows labeled", f"{labels.rows:,}", note))
    share = labels.abstained / max(labels.rows, 1)
    unsure = "Rows with a label in doubt" if report.several else "Rows that abstain"
    found.append(_tile(unsure, percent(share), f"{labels.abstained:,} rows"))
    return found


def _tile(name: str, value: str, note: str) -> dict[str, str]:
    return {"name": name, "value": value, "note": note}
