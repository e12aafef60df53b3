"""What to train of a model: accuracy, weights, memory, disk and speed. `make bench-tuning`

    python -m tests.bench.tuning                                 what is missing, then the table
    python -m tests.bench.tuning --tasks movies --labels 50 --seeds 0
    python -m tests.bench.tuning --split validation --seeds 5 6 7 --name rate-0.01 \\
        --methods lora --set member.learning_rate=0.01

One cell is a way of tuning on a labeled set; its figures are a file under PET_CACHE/bench/tuning,
so an interrupted benchmark goes on. Every cell is a run of `pet` with BERT-tiny, generation 0
only, in a process of its own, of one thread. Speed, memory and shorter trainings are measured on
the first set of 50 labels only. Settings are chosen on `--split validation` with seeds 5 to 7 only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file

from data.cache import cache_root
from data.texts import OTHER_KINDS
from pet.config import RunConfig
from pet.finished.finished_run import open_run
from pet.finished.inference import evaluate_run
from pet.finished.predictors import ensemble_predictor
from pet.pipeline import label_pool
from pet.progress import SILENT, no_tick
from pet.reporting.report import versions
from pet.settings import make_config
from pet.storage.files import read_record, write_json
from pet.storage.units import DONE, with_digest
from tests.bench.tables import RESULTS, notes

METHODS = ("full", "lora", "prefix", "soft-prompt")
TASKS = ("newsgroups", "movies")
LABELS = (10, 50)
SEEDS = (0, 1, 2)
FEWER_STEPS = (20, 40, 75)  # beside the 150 of the defaults
MEMBERS = 9  # of the ensemble whose speed and memory are measured
ROWS = 1000  # pool rows that it labels
# Generation 0 and nothing behind it, asked about the test set and a few pool rows.
SETTINGS = (
    "generations=0",
    "train_from=0",
    "unlabeled_rows=200",
    "student.steps=1",
    "supervised.steps=1",
)


@dataclass(frozen=True)
class Cell:
    """A way of tuning on a labeled set; `name` names the settings where they are others."""

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
        return cache_root() / "bench" / "tuning" / self.split / place


def cells_of(options: argparse.Namespace) -> list[Cell]:
    """List the cells of the table, seed after seed."""
    everything = itertools.product(options.seeds, options.tasks, options.labels, options.methods)
    return [
        Cell(method, task, labels, seed, options.split, options.name, tuple(options.set))
        for seed, task, labels, method in everything
    ]


def measure(cell: Cell) -> dict[str, Any]:
    """Run `pet` on the cell's labeled rows, and look at what came of it."""
    run = cell.path.with_suffix("")
    shutil.rmtree(run, ignore_errors=True)
    config = config_of(cell, run)
    report = label_pool(config)
    members = [run / "members" / name for name in report["weights"]]
    steps = config.member.steps * len(members)
    found = {
        "ensemble": report["test"]["ensemble"]["accuracy"],
        "mean pattern": mean_pattern(report, "trained"),
        "zero-shot": mean_pattern(report, "zero_shot"),
        **carried_over(run, cell.task),
        "parameters trained": parameters(members[0]),
        "bytes a member": sum(f.stat().st_size for f in members[0].iterdir() if f.is_file()),
    }
    looked_at = cell.seed == SEEDS[0] and cell.labels == max(LABELS)
    if looked_at:
        found["milliseconds a step"] = 1000 * report["seconds"]["generation 0: members"] / steps
        found |= speed(run)
    shutil.rmtree(run)
    if looked_at:
        for fewer in FEWER_STEPS:
            shorter = label_pool(config_of(cell, run, f"member.steps={fewer}"))
            found[f"mean pattern, {fewer} steps"] = mean_pattern(shorter, "trained")
            shutil.rmtree(run)
    return found


def config_of(cell: Cell, run: Path, *settings: str) -> RunConfig:
    texts = cache_root() / cell.task
    return make_config(
        {
            "task": cell.task,
            "model": str(cache_root() / "models" / "bert-tiny"),
            "labeled": str(texts / f"labeled-{cell.labels}-seed{cell.seed}.parquet"),
            "pool": str(texts / "pool.parquet"),
            "test": str(texts / f"{cell.split}.parquet"),
            "out": str(run),
            "seed": cell.seed,
        },
        (*SETTINGS, f"member.tuning={cell.method}", *cell.settings, *settings),
    )


def mean_pattern(report: dict[str, Any], state: str) -> float:
    patterns = report["test"]["patterns"].values()
    return float(np.mean([own[state]["accuracy"] for own in patterns]))


def carried_over(run: Path, task: str) -> dict[str, float]:
    """Measure the ensemble on other kinds of text with the same labels, where there are any."""
    if task != "movies":
        return {}
    return {
        f"ensemble on {name}": evaluate_run(
            run, str(cache_root() / "domains" / f"{name}.parquet"), "ensemble", SILENT
        )["accuracy"]
        for name in OTHER_KINDS
    }


def parameters(member: Path) -> int:
    """Count the weights that a member keeps for itself."""
    (path,) = member.glob("*.safetensors")
    return sum(weights.size for weights in load_file(path).values())


def speed(run: Path) -> dict[str, float]:
    """Ask nine members about pool rows, one member after another, as `pet label` does."""
    record = read_record(run / "soft_labels" / DONE)
    own = list(record["weights"])
    names = [f"{own[i % len(own)].rsplit('-', 1)[0]}-r{i // len(own)}" for i in range(MEMBERS)]
    for i, name in enumerate(names):
        if not (run / "members" / name).exists():  # more members than patterns: copies of them
            shutil.copytree(run / "members" / own[i % len(own)], run / "members" / name)
    record = with_digest({**record, "weights": dict.fromkeys(names, 1.0)})
    write_json(run / "soft_labels" / DONE, record)
    finished = open_run(run)
    texts = pq.read_table(finished.config.pool).slice(0, ROWS).to_pydict()
    columns = {field: texts[field] for field in finished.task.fields}
    predict = ensemble_predictor(finished)
    predict({name: column[:100] for name, column in columns.items()}, no_tick)  # loads them
    started = time.perf_counter()
    predict(columns, no_tick)
    return {
        "rows a second, 9 members": ROWS / (time.perf_counter() - started),
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def write_table(cells: Sequence[Cell], path: Path) -> None:
    """Write mean and standard deviation over the seeds, of what has been measured."""
    figures = {cell: json.loads(cell.path.read_text()) for cell in cells if cell.path.exists()}
    lines = [
        "# What is trained of a model",
        "",
        f"{date.today()}, {cells[0].split} rows. BERT-tiny, four patterns, generation 0, 150 steps "
        "of 8, the defaults of each method; mean ± standard deviation over labeled sets, and how "
        "many. Speed, memory, shorter trainings: of the first set of 50 labels, in one thread. "
        + ", ".join(f"{package} {number}" for package, number in versions().items())
        + ".",
    ]
    for task, labels in itertools.product(TASKS, LABELS):
        of_task = [cell for cell in figures if (cell.task, cell.labels) == (task, labels)]
        columns = {
            method: [figures[cell] for cell in of_task if cell.method == method]
            for method in METHODS
        }
        counts = (f"{method} ({len(found)})" for method, found in columns.items())
        lines += ["", f"## {task}, {labels} labels", ""]
        lines += ["| | " + " | ".join(counts) + " |", "|---|" + "---|" * len(METHODS)]
        for name in dict.fromkeys(name for cell in of_task for name in figures[cell]):
            row = [
                spread([own[name] for own in found if name in own]) for found in columns.values()
            ]
            lines.append(f"| {name} | " + " | ".join(row) + " |")
    path.write_text("\n".join(lines) + "\n" + notes(path))
    print(path.read_text())


def spread(values: list[float]) -> str:
    if not values:
        return ""
    digits = 3 if max(values) <= 1 else 0
    text = f"{np.mean(values):,.{digits}f}"
    return f"{text} ± {np.std(values, ddof=1):.3f}" if digits and len(values) > 1 else text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--labels", nargs="+", type=int, default=LABELS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--name", default="default", help="names the settings in file names")
    parser.add_argument("--set", action="append", default=[], help="a setting of `pet run`")
    parser.add_argument("--write", default="tuning", help="the name of the table's file")
    parser.add_argument("--here", action="store_true", help="measure the first cell, here")
    options = parser.parse_args()
    if options.set and options.name == "default":
        parser.error("--set needs a --name of its own, or its figures would pass for the defaults'")
    cells = cells_of(options)
    if options.here:
        found = measure(cells[0])
        cells[0].path.parent.mkdir(parents=True, exist_ok=True)
        cells[0].path.write_text(json.dumps(found, indent=1))
        return
    for cell in cells:
        if not cell.path.exists():
            command = [
                sys.executable,
                "-m",
                "tests.bench.tuning",
                "--here",
                "--methods",
                cell.method,
                "--tasks",
                cell.task,
                "--labels",
                str(cell.labels),
                "--seeds",
                str(cell.seed),
                "--split",
                cell.split,
                "--name",
                cell.name,
                *(f"--set={setting}" for setting in cell.settings),
            ]
            one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, capture_output=True, text=True, env=one_thread)
            said = done.stderr[-2000:] if done.returncode else cell.path.read_text()
            print(f"{cell.path.stem}: {said}", flush=True)
    whole = {"methods": METHODS, "tasks": TASKS, "labels": LABELS}
    seeds = sorted({*SEEDS, *options.seeds})
    every = argparse.Namespace(**{**vars(options), **whole, "seeds": seeds})
    write_table(cells_of(every), RESULTS / f"{options.write}.md")


if __name__ == "__main__":
    main()
