"""The quality benchmark's cells as Markdown for people and CSV for programs."""

from __future__ import annotations

import csv
import json
import os
import platform
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pet.reporting.report import versions
from pet.storage.files import write_text, writing

if TYPE_CHECKING:
    from tests.bench.quality import Cell

RESULTS = Path(__file__).parent / "results"
MEASURES = {"accuracy": 3, "macro_f1": 3, "ece": 3, "minutes": 1}
TITLES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "ece": "calibration error (ECE)",
    "minutes": "minutes, on a machine that did other things too",
}

# task, labels, method, measure -> a figure per seed
Figures = dict[tuple[str, int, str, str], list[float]]


def write_tables(cells: Sequence[Cell], name: str) -> Path:
    """Write `results/NAME.md` and `NAME.csv` of the cells that have been measured."""
    there = sorted((cell for cell in cells if cell.path.exists()), key=lambda c: c.place)
    measured = [(cell, json.loads(cell.path.read_text())) for cell in there]
    with writing(RESULTS / f"{name}.csv") as temporary, temporary.open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["task", "labels", "seed", "method", *MEASURES])
        for cell, found in measured:
            for method, figures in found.items():
                shown = [_shown(figures.get(measure), 4) for measure in MEASURES]
                rows.writerow([cell.task, cell.labels, cell.seed, method, *shown])
    path = RESULTS / f"{name}.md"
    write_text(path, _document(measured) + notes(path))
    return path


def _document(measured: Sequence[tuple[Cell, dict[str, Any]]]) -> str:
    figures: Figures = defaultdict(list)
    for cell, found in measured:
        for method, of_method in found.items():
            for measure in MEASURES:
                if of_method.get(measure) is not None:
                    figures[cell.task, cell.labels, method, measure].append(of_method[measure])
    split = measured[0][0].split
    lines = [
        "# Quality of labels",
        "",
        f"{date.today()}, {split} rows; mean ± standard deviation over the labeled sets (seeds), "
        "and how many of them where not five. "
        + ", ".join(f"{name} {number}" for name, number in versions().items())
        + f"; {platform.machine()}, {os.cpu_count()} cores, matrix products at {ceiling():.0f} "
        "GFLOP/s. Every figure of every seed stands in the CSV file beside this one.",
    ]
    for task in dict.fromkeys(cell.task for cell, _ in measured):
        for measure in MEASURES:
            lines += ["", f"## {task}: {TITLES[measure]}", "", *_table(figures, task, measure)]
    return "\n".join(lines) + "\n"


def _table(figures: Figures, task: str, measure: str) -> list[str]:
    labels = sorted({key[1] for key in figures if key[0] == task})
    methods = dict.fromkeys(key[2] for key in figures if key[0] == task and key[3] == measure)
    lines = ["| | " + " | ".join(f"{count} labels" for count in labels) + " |"]
    lines.append("|---|" + "---|" * len(labels))
    for method in methods:
        row = [_spread(figures.get((task, n, method, measure), []), measure) for n in labels]
        lines.append(f"| {method} | " + " | ".join(row) + " |")
    return lines


def _spread(values: list[float], measure: str) -> str:
    if not values:
        return ""
    digits = MEASURES[measure]
    text = f"{np.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.{digits}f}"
    return text if len(values) == 5 else f"{text} ({len(values)})"


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def ceiling() -> float:
    """Measure this machine's rate of float32 matrix products, in GFLOP/s."""
    a = torch.randn(1024, 1024)
    a @ a
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    return 20 * 2 * 1024**3 / (time.perf_counter() - started) / 1e9


NOTES = "\n## Discussion\n"


def notes(path: Path) -> str:
    """Keep what a person wrote below the tables."""
    before = path.read_text() if path.exists() else ""
    return NOTES + before.partition(NOTES)[2] if NOTES in before else ""
