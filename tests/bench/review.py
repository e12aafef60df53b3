"""Do 50 reviewed rows help more than 50 random ones? `make bench-review`

    python -m tests.bench.review                                   what is missing, then the table
    python -m tests.bench.review --tasks movies --seeds 0 --ways random coverage
    python -m tests.bench.review --split validation --seeds 5 6 7 --write review-validation
    python -m tests.bench.review --learner encoder --write review-encoder

A run learns from a small labeled set; rows of its pool are chosen one way or another and answered
with the truth (`pool-labels.parquet`, which no run sees), by the same path as people's answers; a
second run learns from both. One cell is a draw of a way on a labeled set; its figures are a file
under PET_CACHE/bench/review, so an interrupted benchmark goes on. `--workers 2` measures two
labeled sets side by side. The learner is BERT-tiny, trained, and its student is measured; or an
encoder member, MiniLM with logistic regression, beside BERT-tiny untrained, and their ensemble is.
Ways are chosen between on `--split validation` with seeds 5 to 7 only; what is reported is `test`
with seeds 0 to 4.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from scipy import stats

from data.cache import cache_root
from pet.finished.inference import evaluate_run
from pet.method.row_selection import WAYS
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.reporting.report import versions
from pet.reviewing.review_rows import write_review
from pet.reviewing.reviewed import take_answers
from pet.settings import make_config
from tests.bench.tables import RESULTS, notes
from tests.bench.workers import side_by_side

TASKS = ("newsgroups", "movies")
LABELS = (10, 50)
SEEDS = (0, 1, 2, 3, 4)
DRAWS = 2  # of the rows, and of the training that follows
# What one core does in a minute: no generations, short texts, a part of the pool, fewer steps.
SHORT = ("generations=0", "max_length=64", "supervised.steps=0")
SETTINGS = {
    "tiny": (*SHORT, "unlabeled_rows=1000", "member.steps=100", "student.steps=200"),
    "encoder": (*SHORT, "member.steps=0", "student.steps=50", "encoder_max_length=128"),
}
LEARNERS = {
    "tiny": "Accuracy of the student of a run with BERT-tiny",
    "encoder": "Accuracy of the ensemble of MiniLM with logistic regression, as `--encoder`, and "
    "BERT-tiny untrained",
}
EVERY_WAY = ("none", "random", *WAYS)
MEASURED = ("none", "random", "coverage")


@dataclass(frozen=True)
class Cell:
    """One draw of a way of choosing rows for people, after a run on one labeled set."""

    way: str
    task: str
    labels: int
    seed: int
    rows: int
    split: str
    learner: str
    draw: int = 0

    @property
    def folder(self) -> Path:
        place = f"{self.task}-{self.labels}-seed{self.seed}"
        return cache_root() / "bench" / "review" / self.learner / self.split / place

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def path(self) -> Path:
        return self.folder / f"{self.way}-{self.rows}-draw{self.draw}.json"

    @property
    def draw_seed(self) -> int:
        """Of the rows that are chosen, and of the run that learns from them."""
        return self.seed + 1000 * self.draw


def measure(cell: Cell) -> dict[str, Any]:
    """Run once, have rows answered, run again; figures of the run that counts."""
    texts = cache_root() / cell.task
    first = texts / f"labeled-{cell.labels}-seed{cell.seed}.parquet"
    if cell.way == "none" or not (cell.base / "report.json").exists():
        before = _run(cell, first, cell.base, cell.seed)
        if cell.way == "none":
            return {"accuracy": before}
    answers, labeled = cell.path.with_suffix(".csv"), cell.path.with_suffix(".parquet")
    for path in (answers, labeled):
        path.unlink(missing_ok=True)
    right = _answer(cell, answers)
    taken = take_answers(cell.base, answers, labeled, SILENT)
    after = _run(cell, labeled, cell.path.with_suffix(""), cell.draw_seed)
    shutil.rmtree(cell.path.with_suffix(""))
    return {"accuracy": after, "added": taken.added, "already_right": right}


def _run(cell: Cell, labeled: Path, out: Path, seed: int) -> float:
    models, texts = cache_root() / "models", cache_root() / cell.task
    test, with_encoder = str(texts / f"{cell.split}.parquet"), cell.learner == "encoder"
    out.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "task": cell.task,
        "labeled": str(labeled),
        "pool": str(texts / "pool.parquet"),
        "model": str(models / "bert-tiny"),
        "out": str(out),
        "seed": seed,
    }
    if with_encoder:
        options |= {"encoder": str(models / "minilm"), "test": test}
        if out != cell.base:  # what models say does not depend on the labels
            shutil.rmtree(out, ignore_errors=True)  # of a benchmark that was stopped
            shutil.copytree(cell.base, out)
    report = label_pool(make_config(options, SETTINGS[cell.learner]), update=True)
    if with_encoder:
        return float(report["test"]["ensemble"]["accuracy"])
    # Without --test: members and baseline are not measured, which would take as long as the rest.
    return float(evaluate_run(out, test, "student", SILENT)["accuracy"])


def _answer(cell: Cell, path: Path) -> float:
    """Choose the rows and answer them with the truth; return the share that was right already."""
    truth = pq.read_table(cache_root() / cell.task / "pool-labels.parquet").to_pydict()
    known = dict(zip(truth["id"], truth["label"], strict=True))
    said = pq.read_table(cell.base / "labels", columns=["id", "label"]).to_pydict()
    if cell.way == "random":
        chosen = np.random.default_rng(cell.draw_seed).choice(said["id"], cell.rows, replace=False)
        ids = chosen.tolist()
    else:
        _, asked = write_review(
            cell.base, path, cell.rows, SILENT, by=cell.way, seed=cell.draw_seed
        )
        ids = [row.id for row in asked]
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("id", "answer"), *((id, known[id]) for id in ids)])
    before = dict(zip(said["id"], said["label"], strict=True))
    return float(np.mean([before[id] == known[id] for id in ids]))


def write_table(cells: list[Cell], name: str) -> Path:
    """Write `results/NAME.md` of the cells that have been measured."""
    found = {cell: json.loads(cell.path.read_text()) for cell in cells if cell.path.exists()}
    rows, split, learner = cells[0].rows, cells[0].split, cells[0].learner
    lines = [
        f"# {rows} reviewed rows against {rows} random ones",
        "",
        f"{date.today()}, {split} rows. {LEARNERS[learner]}, after a run on a labeled set "
        f"(none chosen), and after a second run on {rows} more; mean ± standard deviation over "
        f'labeled sets (seeds), each the mean of {DRAWS} draws of rows and of training. "Over '
        'random" is the difference on the same labeled set; "already right" the share of the '
        "chosen rows that the first run had labeled rightly. `--set "
        + " --set ".join(SETTINGS[learner])
        + "`. "
        + ", ".join(f"{package} {number}" for package, number in versions().items())
        + ".",
    ]
    every: dict[str, list[float]] = {}
    for task, labels in dict.fromkeys((cell.task, cell.labels) for cell in found):
        lines += [
            "",
            f"## {task}, {labels} labels",
            "",
            "| rows chosen | accuracy | over random | already right | every seed |",
            "|---|---|---|---|---|",
        ]
        own = {c: figures for c, figures in found.items() if (c.task, c.labels) == (task, labels)}
        random = _by_seed(own, "random", "accuracy")
        for way in EVERY_WAY:
            accuracy = _by_seed(own, way, "accuracy")
            if not accuracy:
                continue
            over = [accuracy[seed] - random[seed] for seed in accuracy if seed in random]
            if way not in ("none", "random"):
                every.setdefault(way, []).extend(over)
            lines.append(_line(way, accuracy, over, _by_seed(own, way, "already_right")))
    lines += ["", "## Over all of them", ""]
    lines += [_together(way, over) for way, over in every.items() if len(over) > 1]
    path = RESULTS / f"{name}.md"
    path.write_text("\n".join(lines) + "\n" + notes(path))
    return path


def _by_seed(found: dict[Cell, Any], way: str, figure: str) -> dict[int, float]:
    """Return a way's figure on every labeled set: the mean of its draws."""
    own: dict[int, list[float]] = {}
    for cell, figures in found.items():
        if cell.way == way and figure in figures:
            own.setdefault(cell.seed, []).append(figures[figure])
    return {seed: float(np.mean(values)) for seed, values in own.items()}


def _line(way: str, accuracy: dict[int, float], over: list[float], right: dict[int, float]) -> str:
    shown = _spread(over, "+") if way not in ("none", "random") else ""
    known = f"{np.mean(list(right.values())):.2f}" if right else ""
    every = ", ".join(f"{value:.3f}" for value in accuracy.values())
    return f"| {way} | {_spread(list(accuracy.values()))} | {shown} | {known} | {every} |"


def _together(way: str, over: list[float]) -> str:
    error = np.std(over, ddof=1) / np.sqrt(len(over))
    ahead = sum(value > 0 for value in over)
    chance = {
        "the t test": stats.ttest_1samp(over, 0).pvalue,
        "Wilcoxon's": stats.wilcoxon(over).pvalue,
        "the sign test": stats.binomtest(ahead, len(over)).pvalue,
    }
    return (
        f"{way}: {np.mean(over):+.3f} over random, standard error {error:.3f}, "
        f"ahead on {ahead} of {len(over)} labeled sets; two-sided p "
        + ", ".join(f"{p:.3f} by {test}" for test, p in chance.items())
        + "."
    )


def _spread(values: list[float], sign: str = "") -> str:
    if not values:
        return ""
    text = f"{np.mean(values):{sign}.3f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.3f}"


def measure_all(options: argparse.Namespace) -> None:
    """Measure what is missing; with workers, labeled sets in processes of their own."""
    if options.workers == 1:
        for cell in cells_of(options):
            if not cell.path.exists():
                found = measure(cell)
                cell.path.write_text(json.dumps(found))
                print(f"{cell.folder.name} {cell.path.stem}: {found}", flush=True)
        return
    sets = itertools.product(options.seeds, options.tasks, options.labels)
    commands = [
        [
            sys.executable,
            "-m",
            "tests.bench.review",
            "--only-measure",
            "--split",
            options.split,
            "--learner",
            options.learner,
            "--rows",
            str(options.rows),
            "--seeds",
            str(seed),
            "--tasks",
            task,
            "--labels",
            str(labels),
            "--ways",
            *options.ways,
        ]
        for seed, task, labels in sets
    ]
    for done in side_by_side(subprocess.run, commands, options.workers):
        done.check_returncode()


def cells_of(options: argparse.Namespace) -> list[Cell]:
    every = itertools.product(options.seeds, options.tasks, options.labels, options.ways)
    return [
        Cell(way, task, labels, seed, options.rows, options.split, options.learner, draw)
        for seed, task, labels, way in every
        for draw in range(1 if way == "none" else DRAWS)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--labels", nargs="+", type=int, default=LABELS)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--ways", nargs="+", default=MEASURED, choices=EVERY_WAY)
    parser.add_argument("--learner", default="tiny", choices=LEARNERS)
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--write", default="review", help="the name of the table's file")
    parser.add_argument("--workers", type=int, default=1, help="labeled sets side by side")
    parser.add_argument("--only-measure", action="store_true", help="write no table")
    options = parser.parse_args()
    measure_all(options)
    if not options.only_measure:
        print(write_table(cells_of(options), options.write).read_text())


if __name__ == "__main__":
    main()
