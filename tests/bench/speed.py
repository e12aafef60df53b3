"""How fast, and how far from what the machine can do. `make bench`

    python -m tests.bench.speed                            everything, then the table
    python -m tests.bench.speed --only engine --models BERT-base --kinds posts --budget 20

Every ratio is taken within one run, since machines are noisy: the ceiling, our way and the plain
loop are measured in turn, three times, and the median is shown. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from pet.models.loading import choose_device
from pet.reporting.report import versions
from tests.bench import engine, jobs, options
from tests.bench.machine import GEOMETRIES, describe
from tests.bench.tables import RESULTS, notes

ENGINE_HEAD = (
    "| | model | texts | rows | rows/s | tokens/s | ceiling, GFLOP/s | of it | plain loop "
    "| tokenising |",
    "|---|---|---|---|---|---|---|---|---|---|",
)
OPTIONS_HEAD = (
    "| | model | texts | beside float32 | scores differ by | |",
    "|---|---|---|---|---|---|",
)
STUDENT_HEAD = ("| | posts/s | beside float32 | accuracy | same label |", "|---|---|---|---|---|")
COMPARED = (("BERT-tiny", "posts", 300), ("BERT-base", "films", 64))  # rows: seconds for each
PARTS = ("engine", "options", "jobs")


def engine_lines(chosen: argparse.Namespace) -> list[str]:
    """Measure scoring and training at the sizes and on the texts that were asked for."""
    device = choose_device(chosen.device)
    lines = ["## Scoring and training", "", *ENGINE_HEAD]
    for geometry in (g for g in GEOMETRIES if g.name in chosen.models):
        for kind in chosen.kinds:
            for rates in engine.measure(geometry, kind, device, chosen.budget):
                lines.append(engine_row(rates))
                print(lines[-1], flush=True)
    return [
        *lines,
        "",
        "Of the ceiling: useful arithmetic only, no padding, no head, and of the last layer what "
        "the mask sees; backward counted as twice the forward. Plain loop: how many times as long "
        "it takes, tokenising counted on both sides. Tokenising: its share, if the texts are asked "
        "about once. Of training, steps after the first. Medians of three rounds; "
        f"of fewer where they take more than {engine.LONGEST:.0f} seconds.",
    ]


def engine_row(rates: engine.Rates) -> str:
    """Lay out a line under `ENGINE_HEAD`."""
    return (
        f"| {rates.what} | {rates.geometry} | {rates.kind} | {rates.asked:,} | "
        f"{rates.rows:,.1f} | {rates.tokens:,.0f} | {rates.ceiling / 1e9:,.0f} | "
        f"{rates.of_ceiling:.0%} | {rates.of_plain:.1f} x | {rates.tokenising:.1%} |"
    )


def options_lines(chosen: argparse.Namespace) -> list[str]:
    """Compare the options of scoring, on the CPU."""
    lines = ["## Options of scoring, on the CPU", "", *OPTIONS_HEAD]
    for geometry, (_, kind, rows) in (
        (g, case) for case in COMPARED for g in GEOMETRIES if g.name == case[0] in chosen.models
    ):
        lines += as_rows(options.scoring_options(geometry, kind, rows))
    return lines


def job_lines() -> list[str]:
    """Time whole commands, then ways to ask the student that the first of them has trained."""
    lines = ["## Whole commands", "", "| | |", "|---|---|"]
    with tempfile.TemporaryDirectory(prefix="pet-bench-") as name:
        for work in (jobs.research_job, jobs.flow_overhead, jobs.growth):
            lines += as_rows(work(Path(name)))
        lines += ["", "## The student of the first, asked about 1,000 posts", "", *STUDENT_HEAD]
        lines += as_rows(options.student_options(Path(name) / "job" / "student", Path(name)))
    return lines


def as_rows(found: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(cells) + " |" for cells in found]
    print(*lines, sep="\n", flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = [geometry.name for geometry in GEOMETRIES]
    parser.add_argument("--only", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--models", nargs="+", default=names, choices=names)
    parser.add_argument("--kinds", nargs="+", default=engine.KINDS, choices=engine.KINDS)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds of a measurement")
    parser.add_argument("--write", default="speed", help="the name of the table's file")
    chosen = parser.parse_args()
    parts = [
        "# Speed",
        f"{date.today()}, {describe()}; "
        + ", ".join(f"{name} {number}" for name, number in versions().items())
        + ".",
    ]
    if "engine" in chosen.only:
        parts.append("\n".join(engine_lines(chosen)))
    if "options" in chosen.only:
        parts.append("\n".join(options_lines(chosen)))
    if "jobs" in chosen.only:
        parts.append("\n".join(job_lines()))
    path = RESULTS / f"{chosen.write}.md"
    path.write_text("\n\n".join(parts) + "\n" + notes(path))
    print(path)


if __name__ == "__main__":
    main()
