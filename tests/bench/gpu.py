"""On a GPU, in ten minutes: speed beside the ceiling, then whole jobs. `make bench-gpu`

    python -m tests.bench.gpu          on this machine's GPU
    python -m tests.bench.gpu --cpu    the same path on the processor, in a tiny size

Prints the tables of `make bench` and of `make bench-job`; what no time is left for is named. No GPU
has run it so far: its figures there, and whether it takes ten minutes, are not known.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import torch

from pet.reporting.report import versions
from tests.bench import engine, job
from tests.bench.machine import GEOMETRIES, Geometry, ceiling, describe
from tests.bench.speed import ENGINE_HEAD, engine_row

LATEST = 420.0  # seconds after which nothing new is begun: the longest job takes two minutes or so

TINY = Geometry("tiny", 2, 32, 2, 64)

# Of a job on the processor: enough to pass through every stage.
TINY_JOB = (
    "device=cpu",
    "max_length=16",
    "unlabeled_rows=40",
    "generations=0",
    "member.steps=1",
    "student.steps=1",
    "supervised.steps=1",
)

JOBS = (("demo", "newsgroups"), ("benchmark", "newsgroups"), ("benchmark", "movies"))


def measure(cpu: bool, show: Callable[[str], None]) -> None:
    """Measure, and show every line when it is there.

    Args:
        cpu: on the processor, in a tiny size.
    """
    started = time.monotonic()
    device = torch.device("cpu" if cpu else "cuda")
    dtype = torch.float32 if cpu else torch.bfloat16
    sizes = (TINY,) if cpu else GEOMETRIES
    products = ", ".join(
        f"{ceiling(own, device, dtype) / 1e9:,.0f} at the shapes of {own.name}" for own in sizes
    )
    kept = ", ".join(f"{name} {number}" for name, number in versions().items())
    show(f"{date.today()}, {describe()}; matrix products in {dtype}, GFLOP/s: {products}; {kept}")
    left_out = []

    def in_time(what: str) -> bool:
        if time.monotonic() - started < LATEST:
            return True
        left_out.append(what)
        return False

    show("\n" + "\n".join(ENGINE_HEAD))
    for geometry in sizes:
        for kind in ("films",) if cpu else ("films", "posts"):
            if in_time(f"{geometry.name} on {kind}"):
                for rates in engine.measure(geometry, kind, device, 0.01 if cpu else 2.0):
                    show(engine_row(rates))
    measured: list[tuple[job.Cell, dict[str, Any]]] = []
    for name, task in JOBS[:1] if cpu else JOBS:
        if in_time(f"{name}: {task}"):
            cell = job.Cell(name, "pet", task, 50, 0, "test")
            measured.append((cell, job.measure(cell, TINY_JOB if cpu else ())))
    show("\n" + "\n".join(job.table(measured)))
    if left_out:
        show(f"\nno time was left for: {', '.join(left_out)}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cpu", action="store_true", help="on the processor, in a tiny size")
    chosen = parser.parse_args(arguments)
    if not chosen.cpu and not torch.cuda.is_available():
        print("no GPU that this PyTorch can use; --cpu tries the same in a tiny size")
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    measure(chosen.cpu, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
