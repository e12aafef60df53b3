"""Students of one and the same ensemble: a finished run, and copies of it with others.

    python -m tests.bench.students runs/news                       its own student, a linear one
    python -m tests.bench.students runs/news --students linear .cache/models/minilm

The members are not made again. Accuracy and calibration are those of the run's test rows; rows a
processor second are of pool rows, on one thread, so that a busy machine matters little. The linear
student is asked about all of its rows, others about the first `--rows`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from pet.config import LINEAR
from pet.finished.finished_run import open_run
from pet.finished.predictors import student_of
from pet.inputs.pool_sample import load_unlabeled
from pet.pipeline import label_pool
from pet.settings import load_config
from pet.storage.files import read_json

HEAD = (
    "| student | accuracy | ECE | rows a processor second | to fit, s | size, MB |",
    "|---|---|---|---|---|---|",
)


def with_student(run: Path, name: str, room: Path) -> Path:
    """Copy a run, and go on with another student."""
    copy = Path(shutil.copytree(run, room / "run"))
    config = load_config(copy / "config.json")
    label_pool(config.model_copy(update={"student_model": name, "out": str(copy)}), update=True)
    return copy


def row_of(run: Path, name: str, rows: int) -> str:
    """Measure the student of a finished run."""
    report: dict[str, Any] = read_json(run / "report.json") or {}
    student = student_of(open_run(run), device="cpu")
    texts = load_unlabeled(run).columns
    some = {field: own if name == LINEAR else own[:rows] for field, own in texts.items()}
    student.logits({field: own[:8] for field, own in some.items()})  # what is loaded once only
    started = time.process_time()
    scores = student.logits(some)
    rate = len(scores) / (time.process_time() - started)
    size = sum(path.stat().st_size for path in (run / "student").iterdir()) / 1e6
    measured, spent = report["test"]["student"], report["seconds"]["student"]
    return (
        f"| {name} | {measured['accuracy']:.3f} | {measured['ece']:.3f} | {rate:,.0f} "
        f"| {spent:,.0f} | {size:.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--students", nargs="+", default=[LINEAR])
    parser.add_argument("--rows", type=int, default=300)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    own = Path(load_config(chosen.run / "config.json").student_ref.name).name
    print(*HEAD, row_of(chosen.run, own, chosen.rows), sep="\n", flush=True)
    for name in chosen.students:
        with tempfile.TemporaryDirectory() as room:
            made = with_student(chosen.run, name, Path(room))
            print(row_of(made, name, chosen.rows), flush=True)


if __name__ == "__main__":
    main()
