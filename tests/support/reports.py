"""Reports made up to order: the figures of a run that never was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pet.reporting.report_file import Report
from pet.settings import make_config

LABELS = ("sport", "space")

SIMPLE = ("linear_supervised", "linear_encoder", "linear_student")


def metrics(accuracy: float, rows: int, ece: float = 0.02) -> dict[str, Any]:
    return {"accuracy": accuracy, "macro_f1": accuracy, "ece": ece, "rows": rows}


def evaluation(
    accuracy: float,
    rows: int,
    labels: int,
    *,
    confidence: float | None = None,
    confusion: list[list[int]] | None = None,
) -> dict[str, Any]:
    """A model that is right on so many rows of every label, and wrong in favour of the next."""
    said = accuracy if confidence is None else confidence
    own, right = rows // labels, round(rows // labels * accuracy)
    counts = [[0] * labels for _ in range(labels)]
    for i in range(labels):
        counts[i][i] = right
        counts[i][(i + 1) % labels] += own - right
    part = {"low": 0.0, "high": 1.0, "rows": rows, "confidence": said, "accuracy": accuracy}
    coverage = [
        {
            "coverage": share / 10,
            "threshold": 1 - share / 20,
            "accuracy": round(1 - (1 - accuracy) * share / 10, 4),
        }
        for share in range(1, 11)
    ]
    return {
        **metrics(accuracy, rows, abs(said - accuracy)),
        "abstaining": {"threshold": 0.6, "coverage": 0.8, "accuracy": accuracy},
        "coverage": coverage,
        "reliability": [part],
        "confusion": confusion or counts,
    }


def measured(labels: int, rows: int = 1000, **accuracies: float) -> dict[str, Any]:
    """What is measured on a test set; `supervised=0.9` and the like change a model's accuracy."""
    of = {
        "supervised": 0.7,
        "linear_supervised": 0.6,
        "linear_encoder": 0.7,
        "linear_student": 0.75,
        "ensemble": 0.82,
        "student": 0.81,
        "topic": 0.79,
    } | accuracies
    models = {name: evaluation(of[name], rows, labels) for name in ("supervised", "ensemble")}
    pattern = {"zero_shot": metrics(0.5, rows), "trained": metrics(of["topic"], rows)}
    return {
        "patterns": {"category": {**pattern, "trained": metrics(0.8, rows)}, "topic": pattern},
        "best_pattern": {"name": "category", **metrics(0.8, rows)},
        **models,
        "student": evaluation(of["student"], rows, labels),
        **{name: metrics(of[name], rows) for name in SIMPLE},
        "ensembles": {"uniform": metrics(0.8, rows), "accuracy": metrics(0.82, rows)},
        "pairs": [
            pair("ensemble", "supervised", of, rows),
            pair("student", "supervised", of, rows),
            pair("student", "ensemble", of, rows),
            *(pair("student", name, of, rows) for name in SIMPLE),
        ],
        "unseen": True,
    }


def pair(one: str, other: str, accuracies: dict[str, float], rows: int) -> dict[str, Any]:
    gap = round((accuracies[one] - accuracies[other]) * rows)
    return {
        "one": one,
        "other": other,
        "only_one_right": 10 + max(gap, 0),
        "only_other_right": 10 + max(-gap, 0),
    }


def example(label: str, second: str, text: str, confidence: float) -> dict[str, Any]:
    return {
        "id": f"pool.parquet:{len(text)}",
        "label": label,
        "confidence": confidence,
        "second": {"label": second, "probability": round(1 - confidence, 4)},
        "agreement": 0.5,
        "texts": {"text": text},
    }


def figures(
    labels: Sequence[str] = LABELS, text: str = "the rocket", **changes: Any
) -> dict[str, Any]:
    """What report.json would hold of a run in which nothing is amiss, and `changes` to it."""
    each, count = 500, len(labels)
    rows = dict.fromkeys(labels, each)
    weights = {"g0-category-r0": 0.6, "g0-topic-r0": 0.4}
    member = {"kind": "pattern", "trained": True, "agreement": 0.9}
    found: dict[str, Any] = {
        "task": "news",
        "description": "What is it about?",
        "run": "first",
        "templates": {"category": "category: {mask}. {text}", "topic": "{text} {mask}"},
        "pool": {"rows": each * count, "rejected": 0, "scored_by_members": each * count},
        "sets": {
            "labeled": {"rows": 10 * count, "counts": dict.fromkeys(labels, 10)},
            "test": {"rows": 1000, "counts": dict.fromkeys(labels, 1000 // count)},
        },
        "leaked": 0,
        "rejected": {name: {"reasons": {}, "first": []} for name in ("pool", "labeled", "test")},
        "labels": {
            "counts": rows,
            "rows": each * count,
            "abstained": 10 * count,
            "abstained_of": dict.fromkeys(labels, 10),
            "mean_confidence": 0.8,
            "confidence_counts": [0] * 10 + [count * each // 10] * 10,
        },
        "examples": {
            "among": each * count,
            "doubtful": [example(labels[0], labels[1], text, 0.51)] * 3,
            "surest": {label: [example(label, labels[0], text, 0.99)] for label in labels},
        },
        "weighing": "accuracy",
        "weights": weights,
        "members": {
            "g0-category-r0": {**member, "pattern": "category"},
            "g0-topic-r0": {**member, "pattern": "topic"},
        },
        "ensemble_temperature": 1.0,
        "ensemble_offsets": dict.fromkeys(LABELS, 0.0),
        "seconds": {"student": 61.0, "labels": 2.0},
        "generations": [
            {
                "members": list(weights),
                "rows": 20,
                "agreement": 0.9,
                "shares": dict.fromkeys(labels, round(1 / count, 4)),
                "test_accuracy": 0.82,
            }
        ],
        "warnings": [],
        "labeled": measured(count, rows=10 * count),
        "test": measured(count),
    }
    return {**found, **changes}


def without_test(found: dict[str, Any]) -> dict[str, Any]:
    """The same run, had it been given no test set."""
    sets = {name: of for name, of in found["sets"].items() if name != "test"}
    return {**{name: of for name, of in found.items() if name != "test"}, "sets": sets}


def without_labels(found: dict[str, Any]) -> dict[str, Any]:
    """The same run, had it been given no labeled set."""
    sets = {name: of for name, of in found["sets"].items() if name != "labeled"}
    return {**{name: of for name, of in found.items() if name != "labeled"}, "sets": sets}


def report(**changes: Any) -> Report:
    return Report.model_validate(figures(**changes))


def write_run(folder: Path, found: dict[str, Any] | None = None) -> Path:
    """Write what a page is drawn from."""
    folder.mkdir(parents=True)
    config = make_config(
        {
            "task": "news.toml",
            "labeled": "ten.csv",
            "pool": "pool.parquet",
            "out": str(folder),
            "model": "bert",
            "test": "test.csv",
        }
    )
    manifest = {
        "run_id": "abc",
        "inputs": {"pool": "1" * 64},
        "machine": {"system": "Linux"},
        "made_with": {"pet": "0.1.0"},
    }
    (folder / "config.json").write_text(config.model_dump_json(), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "report.json").write_text(json.dumps(found or figures()), encoding="utf-8")
    (folder / "task.toml").write_text('name = "news"\n', encoding="utf-8")
    return folder
