"""Do 50 reviewed rows help more than 50 random ones? `make bench-review`

    python -m tests.bench.review                                   what is missing, then the table
    python -m tests.bench.review --tasks movies --seeds 0 --ways random coverage
    python -m tests.bench.review --split validation --seeds 5 6 7 --write review-validation

A run learns from a small labeled set; rows of its pool are chosen one way or another and answered
with the truth (`pool-labels.parquet`, which no run sees), by the same path as people's answers; a
second run learns from both. One cell is a way on a labeled set; its figures are a file under
PET_CACHE/bench/review, so an interrupted benchmark goes on. Ways are chosen between on `--split
validation` with seeds 5 to 7 only; what is reported is `test` with seeds 0 to 2.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data.cache import cache_root
from pet.config import make_config
from pet.finished import evaluate_run
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.reporting.report import versions
from pet.reviewing.review import WAYS
from pet.reviewing.review_rows import write_review
from pet.reviewing.reviewed import take_answers
from tests.bench.tables import RESULTS, notes

TASKS = ("newsgroups", "movies")
SEEDS = (0, 1, 2)
# What one core does in a minute: no generations, short texts, a part of the pool, fewer steps.
SETTINGS = (
    "generations=0", "max_length=64", "unlabeled_rows=1000", "member.steps=100",
    "student.steps=200", "supervised.steps=0",
)  # fmt: skip
EVERY_WAY = ("none", "random", *WAYS)


@dataclass(frozen=True)
class Cell:
    """One way of choosing rows for people, after a run on one labeled set."""

    way: str
    task: str
    labels: int
    seed: int
    rows: int
    split: str

    @property
    def folder(self) -> Path:
        place = f"{self.task}-{self.labels}-seed{self.seed}"
        return cache_root() / "bench" / "review" / self.split / place

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def path(self) -> Path:
        return self.folder / f"{self.way}-{self.rows}.json"


def measure(cell: Cell) -> dict[str, Any]:
    """Run once, have rows answered, run again; figures of the run that counts."""
    texts = cache_root() / cell.task
    first = texts / f"labeled-{cell.labels}-seed{cell.seed}.parquet"
    if cell.way == "none" or not (cell.base / "report.json").exists():
        before = _run(cell, first, cell.base)
        if cell.way == "none":
            return {"accuracy": before["accuracy"]}
    answers, labeled = cell.path.with_suffix(".csv"), cell.path.with_suffix(".parquet")
    for path in (answers, labeled):
        path.unlink(missing_ok=True)
    right = _answer(cell, answers)
    taken = take_answers(cell.base, answers, labeled, SILENT)
    after = _run(cell, labeled, cell.path.with_suffix(""))
    shutil.rmtree(cell.path.with_suffix(""))
    return {"accuracy": after["accuracy"], "added": taken.added, "already_right": right}


def _run(cell: Cell, labeled: Path, out: Path) -> dict[str, Any]:
    models, texts = cache_root() / "models", cache_root() / cell.task
    out.parent.mkdir(parents=True, exist_ok=True)
    config = make_config(
        {
            "task": cell.task, "labeled": str(labeled), "pool": str(texts / "pool.parquet"),
            "model": str(models / "bert-tiny"), "out": str(out), "seed": cell.seed,
        },
        SETTINGS,
    )  # fmt: skip
    label_pool(config, update=True)
    # Without --test: members and baseline are not measured, which would take as long as the rest.
    return evaluate_run(out, str(texts / f"{cell.split}.parquet"), "student", SILENT)


def _answer(cell: Cell, path: Path) -> float:
    """Choose the rows and answer them with the truth; return the share that was right already."""
    truth = pq.read_table(cache_root() / cell.task / "pool-labels.parquet").to_pydict()
    known = dict(zip(truth["id"], truth["label"], strict=True))
    said = pq.read_table(cell.base / "labels", columns=["id", "label"]).to_pydict()
    if cell.way == "random":
        chosen = np.random.default_rng(cell.seed).choice(said["id"], cell.rows, replace=False)
        ids = chosen.tolist()
    else:
        ids = [row.id for row in write_review(cell.base, path, cell.rows, SILENT, by=cell.way)[1]]
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("id", "answer"), *((id, known[id]) for id in ids)])
    before = dict(zip(said["id"], said["label"], strict=True))
    return float(np.mean([before[id] == known[id] for id in ids]))


def write_table(cells: list[Cell], name: str) -> Path:
    """Write `results/NAME.md` of the cells that have been measured."""
    found = {cell: json.loads(cell.path.read_text()) for cell in cells if cell.path.exists()}
    rows, labels, split = cells[0].rows, cells[0].labels, cells[0].split
    lines = [
        f"# {rows} reviewed rows against {rows} random ones",
        "",
        f"{date.today()}, {split} rows. Accuracy of the student after a run on {labels} "
        f"labeled rows (none chosen), and after a second run on {rows} more; mean ± standard "
        "deviation over labeled sets (seeds). \"Over random\" is the difference on the same "
        "labeled set; \"already right\" the share of the chosen rows that the first run had "
        "labeled rightly. BERT-tiny, `--set " + " --set ".join(SETTINGS) + "`. "
        + ", ".join(f"{package} {number}" for package, number in versions().items()) + ".",
    ]  # fmt: skip
    for task in dict.fromkeys(cell.task for cell in found):
        lines += ["", f"## {task}", "",
                  "| rows chosen | accuracy | over random | already right | every seed |",
                  "|---|---|---|---|---|"]  # fmt: skip
        for way in EVERY_WAY:
            own = {cell.seed: found[cell] for cell in found if (cell.task, cell.way) == (task, way)}
            random = {c.seed: found[c] for c in found if (c.task, c.way) == (task, "random")}
            if own:
                lines.append(_line(way, own, random))
    path = RESULTS / f"{name}.md"
    path.write_text("\n".join(lines) + "\n" + notes(path))
    return path


def _line(way: str, own: dict[int, Any], random: dict[int, Any]) -> str:
    paired = [own[s]["accuracy"] - random[s]["accuracy"] for s in own if s in random]
    over = _spread(paired, "+") if way not in ("none", "random") else ""
    right = [figures["already_right"] for figures in own.values() if "already_right" in figures]
    accuracies = [figures["accuracy"] for figures in own.values()]
    shown = f"{np.mean(right):.2f}" if right else ""
    every = ", ".join(f"{accuracy:.3f}" for accuracy in accuracies)
    return f"| {way} | {_spread(accuracies)} | {over} | {shown} | {every} |"


def _spread(values: list[float], sign: str = "") -> str:
    if not values:
        return ""
    text = f"{np.mean(values):{sign}.3f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=TASKS, choices=TASKS)
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--ways", nargs="+", default=EVERY_WAY, choices=EVERY_WAY)
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--write", default="review", help="the name of the table's file")
    options = parser.parse_args()
    every = itertools.product(options.seeds, options.tasks, options.ways)
    cells = [
        Cell(way, task, options.labels, seed, options.rows, options.split)
        for seed, task, way in every
    ]
    for cell in cells:
        if not cell.path.exists():
            found = measure(cell)
            cell.path.write_text(json.dumps(found))
            print(f"{cell.folder.name} {cell.way}: {found}", flush=True)
    print(write_table(cells, options.write).read_text())


if __name__ == "__main__":
    main()
