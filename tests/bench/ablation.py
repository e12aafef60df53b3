"""What each part of the method brings: one setting changed at a time, on validation rows.

    python -m tests.bench.ablation                      what is missing, then the table
    python -m tests.bench.ablation --seeds 5 6 7 --tasks movies --workers 2

BERT-tiny as teacher and student, 1,000 pool rows, 300 steps of the student. Cells are those of the
quality benchmark, so that an interrupted table goes on. Processor seconds are of the whole run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import numpy as np

from tests.bench.quality import TASKS, Cell, measure
from tests.bench.tables import write_page
from tests.bench.workers import side_by_side

SMALLER = ("unlabeled_rows=1000", "student.steps=300")  # a third of the time

# A part of the method: what it is called, what leaves it out, and lines of code that are its own.
PARTS = {
    "as it is": ((), ""),
    "no generations": (("generations=0",), "310"),
    "no held-out members": (("out_of_bag=0",), "200"),
    "no correction by words": (("cross_fitting_folds=1",), "230"),
    "the prior not removed": (("calibration=none",), "120"),
    "prior of texts without content": (("calibration=content-free",), ""),
    "members alike": (("weights=uniform",), "60"),
    "hard labels of drawn rows": (("drawn_labels=hard",), "5"),
}
SHOWN = ("BERT-tiny: ensemble", "BERT-tiny: student", "BERT-tiny: labels of the pool")


def cell_of(part: str, task: str, seed: int, labels: int) -> Cell:
    name = "ablation-" + part.replace(" ", "-")
    return Cell("pet", task, labels, seed, "validation", name, (*SMALLER, *PARTS[part][0]))


def row_of(part: str, tasks: Sequence[str], seeds: Sequence[int], labels: int) -> str:
    """Write a line of the table: accuracy and ECE of each task, means of all, and the cost."""
    shown, everything, seconds = [], [], []
    for task in tasks:
        cells = [cell_of(part, task, seed, labels) for seed in seeds]
        found = [json.loads(cell.path.read_text()) for cell in cells if cell.path.exists()]
        if not found:
            shown.append("")
            continue
        for name in SHOWN:
            own = [(each[name]["accuracy"], each[name]["ece"]) for each in found]
            everything.append(np.mean(own, axis=0))
        seconds += [each[SHOWN[0]]["processor_seconds"] for each in found]
        shown.append(" / ".join(f"{own[0]:.3f}" for own in everything[-len(SHOWN) :]))
    if not everything:
        return ""
    accuracy, error = np.mean(everything, axis=0)
    cells_text = " | ".join(shown)
    return (
        f"| {part} | {cells_text} | {accuracy:.3f} | {error:.3f} "
        f"| {np.mean(seconds):,.0f} | {PARTS[part][1]} |"
    )


def table(tasks: Sequence[str], seeds: Sequence[int], labels: int) -> list[str]:
    """Write what was measured with a number of labels."""
    rows = [row_of(part, tasks, seeds, labels) for part in PARTS]
    if not any(rows):
        return []
    return [
        "",
        f"## {labels} labels",
        "",
        f"| | {' | '.join(tasks)} | mean | ECE | processor s | lines |",
        "|---|" + "---|" * (len(tasks) + 4),
        *filter(None, rows),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(5,))
    parser.add_argument("--labels", nargs="+", type=int, default=(10, 50))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--workers", type=int, default=1, help="cells measured side by side")
    chosen = parser.parse_args()
    cells = [
        cell_of(part, task, seed, labels)
        for seed in chosen.seeds
        for labels in chosen.labels
        for part in chosen.parts
        for task in chosen.tasks
    ]
    side_by_side(measure, [cell for cell in cells if not cell.path.exists()], chosen.workers)
    lines = [
        "# One part of the method left out at a time",
        "",
        "Written by `python -m tests.bench.ablation`: BERT-tiny as teacher and student, labeled "
        f"set {', '.join(map(str, chosen.seeds))}, 1,000 pool rows, 300 steps of the student, "
        "validation rows. Accuracy of ensemble / student / labels of the pool; mean accuracy and "
        "calibration error (ECE) of all; processor seconds of a run; lines of code that are the "
        "part's own, about.",
    ]
    for labels in (10, 50):
        lines += table(chosen.tasks, chosen.seeds, labels)
    write_page("ablation", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
