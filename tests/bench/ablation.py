"""What each part of the method brings: one setting changed at a time, on validation rows.

    python -m tests.bench.ablation                      what is missing, then the table
    python -m tests.bench.ablation --seeds 5 6 7 --tasks movies --workers 2

BERT-tiny as teacher and student, 1,000 pool rows, 300 steps of the student. Cells are those of the
quality benchmark, so that an interrupted table goes on. Processor seconds are of the whole run. The
page is of the tasks and labeled sets of the call.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from pet.storage.files import read_record
from tests.bench.quality import TASKS, Cell, measure
from tests.bench.tables import write_page
from tests.bench.workers import side_by_side

OWN_TASKS = ("newsgroups", "movies", "uses")  # Reuters takes twice as long
LABELS = (10, 50)
SMALLER = ("unlabeled_rows=1000", "student.steps=300")  # a third of the time

# A part of the method: what it is called, what leaves it out, and lines of code that are its own.
PARTS = {
    "as it is": ((), ""),
    "no generations": (("generations=0",), "310"),
    "no held-out members": (("out_of_bag=0",), "200"),
    "no correction by words": (("cross_fitting_folds=1",), "230"),
    "the prior not removed": (("calibration=none",), "120"),
    "members alike": (("weights=uniform",), "60"),
    "hard labels of drawn rows": (("drawn_labels=hard",), "5"),
}
SHOWN = ("BERT-tiny: ensemble", "BERT-tiny: student", "BERT-tiny: labels of the pool")


def cell_of(part: str, task: str, seed: int, labels: int) -> Cell:
    name = "ablation-" + part.replace(" ", "-")
    return Cell("pet", task, labels, seed, "validation", name, (*SMALLER, *PARTS[part][0]))


def row_of(part: str, tasks: Sequence[str], seeds: Sequence[int], labels: int) -> str:
    """Write a line of the table, once all of it is measured: figures by task, means, the cost."""
    cells = [[cell_of(part, task, seed, labels) for seed in seeds] for task in tasks]
    if not all(cell.path.exists() for own in cells for cell in own):
        return ""
    found = [[read_record(cell.path) for cell in own] for own in cells]

    def mean(name: str, measure: str) -> list[float]:
        return [float(np.mean([each[name][measure] for each in own])) for own in found]

    accuracies = np.transpose([mean(name, "accuracy") for name in SHOWN])  # [tasks, shown]
    errors = [mean(name, "ece") for name in SHOWN]
    seconds = mean(SHOWN[0], "processor_seconds")
    of_tasks = " | ".join(" / ".join(f"{own:.3f}" for own in task) for task in accuracies)
    return (
        f"| {part} | {of_tasks} | {accuracies.mean():.3f} | {np.mean(errors):.3f} "
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
    parser.add_argument("--tasks", nargs="+", default=OWN_TASKS, choices=TASKS)
    parser.add_argument("--seeds", nargs="+", type=int, default=(5,))
    parser.add_argument("--labels", nargs="+", type=int, default=LABELS, choices=LABELS)
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
    tables = [line for labels in LABELS for line in table(chosen.tasks, chosen.seeds, labels)]
    if not tables:
        sys.exit("no line of the table is measured: the reasons stand above")
    lines = [
        "# One part of the method left out at a time",
        "",
        "Written by `python -m tests.bench.ablation`: BERT-tiny as teacher and student, labeled "
        f"set {', '.join(map(str, chosen.seeds))}, 1,000 pool rows, 300 steps of the student, "
        "validation rows. Accuracy of ensemble / student / labels of the pool; mean accuracy and "
        "calibration error (ECE) of all; processor seconds of a run; lines of code that are the "
        "part's own, about.",
        *tables,
    ]
    write_page("ablation", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
