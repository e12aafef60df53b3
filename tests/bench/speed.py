"""How fast, and how far from what the machine can do. `make bench`

    python -m tests.bench.speed                            everything, then the table
    python -m tests.bench.speed --only engine --models BERT-base --kinds posts --budget 20

Every ratio is taken within one run, since machines are noisy: the ceiling, our way and the plain
loop are measured in turn, three times, and the median is shown. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import date
from pathlib import Path

from pet.loading import choose_device
from pet.reporting.report import versions
from tests.bench import engine, jobs
from tests.bench.machine import GEOMETRIES, describe
from tests.bench.tables import RESULTS

ENGINE_HEAD = (
    "| | model | texts | rows/s | tokens/s | ceiling, GFLOP/s | of it | plain loop | tokenising |",
    "|---|---|---|---|---|---|---|---|---|",
)  # fmt: skip


def engine_lines(options: argparse.Namespace) -> list[str]:
    """Measure scoring and training at the sizes and on the texts that were asked for."""
    device = choose_device(options.device)
    lines = ["## Scoring and training", "", *ENGINE_HEAD]
    for geometry in (g for g in GEOMETRIES if g.name in options.models):
        for kind in options.kinds:
            for rates in engine.measure(geometry, kind, device, options.budget):
                lines.append(
                    f"| {rates.what} | {rates.geometry} | {rates.kind} | {rates.rows:,.1f} | "
                    f"{rates.tokens:,.0f} | {rates.ceiling / 1e9:,.0f} | {rates.of_ceiling:.0%} | "
                    f"{rates.of_plain:.1f} x | {rates.tokenising:.1%} |"
                )
                print(lines[-1], flush=True)
    return [
        *lines, "",
        "Of the ceiling: useful arithmetic only, no padding and no head, backward counted as twice "
        "the forward. Plain loop: how many times as long it takes, tokenising counted on both "
        "sides. Tokenising: its share, if the texts are asked about once.",
    ]  # fmt: skip


def job_lines() -> list[str]:
    """Time whole commands."""
    lines = ["## Whole commands", "", "| | |", "|---|---|"]
    with tempfile.TemporaryDirectory(prefix="pet-bench-") as name:
        for work in (jobs.research_job, jobs.flow_overhead, jobs.growth):
            for what, figure in work(Path(name)):
                lines.append(f"| {what} | {figure} |")
                print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = [geometry.name for geometry in GEOMETRIES]
    parser.add_argument("--only", nargs="+", default=["engine", "jobs"], choices=["engine", "jobs"])
    parser.add_argument("--models", nargs="+", default=names, choices=names)
    parser.add_argument("--kinds", nargs="+", default=engine.KINDS, choices=engine.KINDS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds of a measurement")
    parser.add_argument("--write", default="speed", help="the name of the table's file")
    options = parser.parse_args()
    parts = [
        "# Speed",
        f"{date.today()}, {describe()}; "
        + ", ".join(f"{name} {number}" for name, number in versions().items())
        + ".",
    ]
    if "engine" in options.only:
        parts.append("\n".join(engine_lines(options)))
    if "jobs" in options.only:
        parts.append("\n".join(job_lines()))
    path = RESULTS / f"{options.write}.md"
    path.write_text("\n\n".join(parts) + "\n")
    print(path)


if __name__ == "__main__":
    main()
