"""Quality of labels: every method on the same rows, over seeds. `make bench-quality`

    python -m tests.bench.quality                                  what is missing, then the table
    python -m tests.bench.quality --methods pet --tasks movies --labels 10 50 --seeds 0 1 2
    python -m tests.bench.quality --split validation --seeds 5 6 7 --name uniform \\
        --methods pet --set weights=uniform

One cell is a method on a labeled set; its figures are a file under PET_CACHE/bench/quality, so an
interrupted benchmark goes on and a finished cell is not measured again. `--workers 2` measures two
cells side by side, each with its share of the cores. Settings are chosen on `--split validation`
with seeds 5 to 7 only; what is reported is `test` with seeds 0 to 4.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.cache import cache_root
from pet.storage.files import write_json
from tests.bench.workers import side_by_side

TASKS = ("newsgroups", "movies", "reuters", "uses")
LABELS = (0, 10, 50, 100)
SEEDS = (0, 1, 2, 3, 4)
METHODS = ("plain", "consistency", "setfit", "pet", "larger")
NEEDS_LABELS = ("plain", "consistency", "setfit")


@dataclass(frozen=True)
class Cell:
    """One method on one labeled set.

    Attributes:
        name: names the settings, where they are not the default ones.
        split: the rows to measure on: test or validation.
    """

    method: str
    task: str
    labels: int
    seed: int
    split: str
    name: str
    settings: tuple[str, ...]

    @property
    def path(self) -> Path:
        place = f"{self.method}-{self.name}-{self.task}-{self.labels}-seed{self.seed}.json"
        return cache_root() / "bench" / "quality" / self.split / place

    @property
    def place(self) -> tuple[int, int, int, int]:
        """Where its figures stand in a table."""
        return TASKS.index(self.task), METHODS.index(self.method), self.labels, self.seed

    @property
    def texts(self) -> Path:
        return cache_root() / self.task

    @property
    def labeled(self) -> Path | None:
        if not self.labels:
            return None
        return self.texts / f"labeled-{self.labels}-seed{self.seed}.parquet"

    @property
    def test(self) -> Path:
        return self.texts / f"{self.split}.parquet"

    @property
    def run(self) -> Path:
        return self.path.with_suffix("")


def cells_of(options: argparse.Namespace) -> list[Cell]:
    """List the cells of the table, the cheap and the telling ones first."""
    everything = itertools.product(options.seeds, options.tasks, options.labels, options.methods)
    return [
        Cell(method, task, labels, seed, options.split, options.name, tuple(options.set))
        for seed, task, labels, method in everything
        if labels or _works_without_labels(method, seed)
    ]


def _works_without_labels(method: str, seed: int) -> bool:
    """Baselines need labels; runs of the larger models differ by the labeled set alone."""
    return method not in NEEDS_LABELS and (method != "larger" or seed == SEEDS[0])


def measure(cell: Cell) -> None:
    """Measure one cell in a process of its own, with its own share of the cores."""
    command = [
        sys.executable,
        "-m",
        "tests.bench.quality",
        "--cell",
        cell.method,
        cell.task,
        str(cell.labels),
        str(cell.seed),
        "--split",
        cell.split,
        "--name",
        cell.name,
    ]
    started = time.monotonic()
    done = subprocess.run(
        command + [f"--set={setting}" for setting in cell.settings], capture_output=True, text=True
    )
    took = time.monotonic() - started
    if done.returncode:
        print(f"FAILED {cell.path.stem}: {done.stderr[-2000:]}", flush=True)
        return
    print(f"{cell.path.stem}: {took:.0f} s: {done.stdout.strip()}", flush=True)


def measure_here(cell: Cell) -> dict[str, Any]:
    """Measure one cell in this process: method names and their figures."""
    if cell.method == "plain":
        from tests.bench import baselines

        return baselines.measure(cell)
    if cell.method == "consistency":
        from tests.bench import consistency

        return consistency.measure(cell)
    if cell.method == "setfit":
        from tests.bench import setfit

        return setfit.measure(cell)
    from tests.bench import runs

    return runs.measure(cell)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--labels", nargs="+", type=int, default=LABELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--name", default="default", help="names the settings in file names")
    parser.add_argument("--set", action="append", default=[], help="a setting of `pet run`")
    parser.add_argument("--write", default="quality", help="the name of the table's files")
    parser.add_argument("--workers", type=int, default=1, help="cells measured side by side")
    parser.add_argument("--cell", nargs=4, metavar=("METHOD", "TASK", "LABELS", "SEED"))
    options = parser.parse_args()
    if options.set and options.name == "default":
        parser.error("--set needs a --name of its own, or its figures would pass for the defaults'")
    if options.cell:
        method, task, labels, seed = options.cell
        cell = Cell(
            method, task, int(labels), int(seed), options.split, options.name, tuple(options.set)
        )
        found = measure_here(cell)
        spent = round(sum(os.times()[:4]), 1)  # of this process and its children
        found = {name: {**own, "processor_seconds": spent} for name, own in found.items()}
        write_json(cell.path, found)
        print(", ".join(f"{name} {figures['accuracy']:.3f}" for name, figures in found.items()))
        return
    missing = [cell for cell in cells_of(options) if not cell.path.exists()]
    side_by_side(measure, missing, options.workers)
    from tests.bench.tables import write_tables

    every = cells_of(argparse.Namespace(**{**vars(options), "methods": METHODS}))
    if not any(cell.path.exists() for cell in every):
        sys.exit("no cell has been measured: the reasons stand above")
    print(write_tables(every, options.write).read_text())


if __name__ == "__main__":
    main()
