"""What a good result costs: whole jobs, timed beside others' ways to do them. `make bench-job`

    python -m tests.bench.job                              what is missing, then the table
    python -m tests.bench.job --jobs demo --seeds 0        one job on one labeled set

Two jobs, as a user types them, every setting at its default: `demo` (BERT-tiny) and `larger` (a
causal teacher, an encoder as member and student). A cell is one way to do a job on one labeled
set, in processes of their own, imports and all; its figures are a file under PET_CACHE/bench/job,
so a finished cell is not measured again. Time only on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.cache import cache_root
from pet.method.metrics import metrics
from tests.bench import jobs, loops, setfit
from tests.bench.machine import describe
from tests.bench.runs import LARGER_MODELS, TINY_MODELS, pool_label_figures
from tests.bench.tables import ceiling, measure_missing, write_page

FORMER = "b4c3773"  # the state that the jobs' times are compared with

# What `larger` was measured with then, since its defaults took five hours: today's preset for it.
FORMER_SETTINGS = {
    "demo": (),
    "larger": ("member.steps=0", "max_length=64", "student_max_length=128", "student.steps=300"),
}

MODELS = {"demo": TINY_MODELS, "larger": LARGER_MODELS}
CASES = {
    "demo": (("newsgroups", 50),),
    "larger": (("newsgroups", 10), ("newsgroups", 50), ("movies", 10), ("movies", 50)),
}
WAYS = {
    "demo": ("pet", "pet-linear", "pet-fast", "pet-former", "setfit", "plain-loop"),
    "larger": ("pet", "pet-former", "setfit"),
}


@dataclass(frozen=True)
class Cell:
    """One way to do a job, on one labeled set."""

    job: str
    way: str
    task: str
    labels: int
    seed: int
    split: str

    @property
    def path(self) -> Path:
        place = f"{self.job}-{self.way}-{self.task}-{self.labels}-seed{self.seed}-{self.split}.json"
        return cache_root() / "bench" / "job" / place

    def file(self, name: str) -> Path:
        return (cache_root() / self.task / f"{name}.parquet").resolve()

    @property
    def labeled(self) -> Path:
        return self.file(f"labeled-{self.labels}-seed{self.seed}")


def measure(cell: Cell, more: Sequence[str] = ()) -> dict[str, Any]:
    """Do the job in an empty folder; return its figures.

    Args:
        more: settings of `pet run`, beside the job's.
    """
    with tempfile.TemporaryDirectory(prefix="pet-bench-") as name:
        if cell.way == "setfit":
            return _setfit(cell, Path(name))
        if cell.way == "plain-loop":
            task = jobs.write_task(Path(name), 3)
            pool = jobs.write_pool(Path(name) / "pool.parquet", cell.task, loops.JOB_ROWS)
            return {"seconds": jobs.research_loop(task, cell.labeled, pool)}
        return _pet(cell, Path(name) / "run", more)


def _pet(cell: Cell, run: Path, more: Sequence[str]) -> dict[str, Any]:
    models = (cache_root() / "models").resolve()
    options = [
        f"--{option.replace('_', '-')}={models / name}" for option, name in MODELS[cell.job].items()
    ]
    if cell.way == "pet-fast":
        options.append("--preset=fast")
    elif cell.way == "pet-linear":
        options.append("--student-model=linear")
    elif cell.way == "pet-former":
        options.append("--preset=default")
        more = (*FORMER_SETTINGS[cell.job], *more)
    options += [f"--set={setting}" for setting in more]
    rows = {"labeled": cell.labeled, "pool": cell.file("pool"), "test": cell.file(cell.split)}
    options += [f"--{name}={path}" for name, path in rows.items()]
    other = _former() if cell.way == "pet-former" else {}
    took = jobs.pet("run", cell.task, "--plain", f"--out={run}", *options, **other)
    report = json.loads((run / "report.json").read_text())
    labeled = pq.read_metadata(cell.file("pool")).num_rows / report["seconds"]["labels"]
    return {
        **asdict(took),
        "student": report["test"]["student"]["accuracy"],
        "ece": report["test"]["student"]["ece"],
        "ensemble": report["test"]["ensemble"]["accuracy"],
        "pool labels": pool_label_figures(run, cell.file("pool").parent)["accuracy"],
        "million": 1e6 / labeled,
        "stages": report["seconds"],
    }


def _former() -> dict[str, Any]:
    """Return the former state's folder and interpreter; made on first use."""
    tree = cache_root().resolve() / "bench" / f"pet-{FORMER}"
    python, seal = tree / ".venv" / "bin" / "python", tree / "installed"
    if not seal.exists():
        packed = subprocess.run(["git", "archive", FORMER], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(tree, filter="data")
        install = ["pip", "install", "-q", "-c", "constraints.txt", "-e", "."]
        for command in ([sys.executable, "-m", "venv", ".venv"], [str(python), "-m", *install]):
            subprocess.run(command, cwd=tree, check=True)
        seal.touch()
    return {"python": str(python), "tree": tree}


def _setfit(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train SetFit, label the pool with it, and measure it on the rows of the split."""
    python = setfit.environment(cache_root().resolve() / "bench" / "setfit-venv")
    pool, test = pq.read_table(cell.file("pool")), pq.read_table(cell.file(cell.split))
    known = dict(zip(*pq.read_table(cell.file("pool-labels")).to_pydict().values(), strict=True))
    truth = [known[row] for row in pool["id"].to_pylist()] + test["label"].to_pylist()
    texts = pool["text"].to_pylist() + test["text"].to_pylist()
    both = folder / "both.parquet"
    pq.write_table(pa.table({"text": texts, "label": truth}), both)
    surroundings = [f"{name}={value}" for name, value in setfit.offline(folder).items()]
    command = setfit.command(python, cell.labeled, both, cell.seed, folder)
    took = jobs.timed(["env", "-u", "PYTHONPATH", *surroundings, *command], folder)
    probabilities = np.load(folder / "probabilities.npy")
    right = setfit.truth_of(cell.labeled, both)
    ours, rest = slice(pool.num_rows, None), slice(pool.num_rows)
    measured = metrics(probabilities[ours], right[ours])
    return {
        **asdict(took),
        "student": measured["accuracy"],
        "ece": measured["ece"],
        "pool labels": float((probabilities[rest].argmax(axis=1) == right[rest]).mean()),
    }


COLUMNS = {
    "seconds": "{:,.0f}",
    "processor": "{:,.0f}",
    "memory": "{:,.1f}",
    "student": "{:.3f}",
    "ece": "{:.3f}",
    "ensemble": "{:.3f}",
    "pool labels": "{:.3f}",
    "million": "{:,.0f}",
}


def document(cells: list[Cell], split: str) -> str:
    """Lay out what has been measured, with how and where."""
    measured = [(cell, json.loads(cell.path.read_text())) for cell in cells if cell.path.exists()]
    lines = [
        "# Whole jobs",
        "",
        f"{date.today()}, {describe()}, matrix products at {ceiling():.0f} GFLOP/s; {split} rows; "
        "means over labeled sets (how many, in brackets). Seconds by the clock, import and all; "
        "processor seconds; peak memory in GB; accuracy and ECE of the student, accuracy of the "
        "ensemble and of the pool's labels; seconds to label a million rows at the rate of the "
        "labeling stage.",
        "",
        *table(measured),
    ]
    return "\n".join(lines) + "\n"


def table(measured: Sequence[tuple[Cell, dict[str, Any]]]) -> list[str]:
    """Lay out means over the labeled sets, with the standard deviation of accuracies."""
    lines = [
        "| job | way | seconds | processor | GB | student | ECE | ensemble | pool labels "
        "| a million rows |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, int, str], list[dict[str, Any]]] = {}
    for cell, own in measured:
        groups.setdefault((cell.job, cell.task, cell.labels, cell.way), []).append(own)
    for (job, task, labels, way), found in groups.items():
        shown = []
        for name, layout in COLUMNS.items():
            values = [
                own[name] / (2**30 if name == "memory" else 1) for own in found if name in own
            ]
            text = layout.format(np.mean(values)) if values else ""
            if len(values) > 1 and layout == "{:.3f}":
                text += f" ± {np.std(values, ddof=1):.3f}"
            shown.append(text)
        what = f"{job}: {task}, {labels} labels"
        lines.append(f"| {what} | {way} ({len(found)}) | " + " | ".join(shown) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    ways = list(dict.fromkeys(way for own in WAYS.values() for way in own))
    parser.add_argument("--jobs", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--ways", nargs="+", default=ways, choices=ways)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", default=["newsgroups", "movies"])
    parser.add_argument("--labels", nargs="+", type=int, default=[10, 50])
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--write", default="job", help="the name of the table's file")
    chosen = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    cells = [
        Cell(job, way, task, labels, seed, chosen.split)
        for job in chosen.jobs
        for task, labels in CASES[job]
        for way in WAYS[job]
        for seed in chosen.seeds
        if way in chosen.ways and task in chosen.tasks and labels in chosen.labels
    ]
    measure_missing(cells, measure, lambda found: f"{found['seconds']:.0f} s")
    write_page(chosen.write, document(cells, chosen.split))


if __name__ == "__main__":
    main()
