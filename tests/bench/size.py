"""Memory and time by the size of what is given, with BERT-tiny: `make bench-size`.

Every case is a process of its own; its peak is the most memory that it held (ru_maxrss).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.cache import cache_root
from pet.reporting.report import versions
from pet.storage.files import write_text

REPOSITORY = Path(__file__).parents[2]
RESULT = Path(__file__).parent / "results" / "size.md"
SAMPLE = REPOSITORY / "data" / "sample"
MODEL = cache_root() / "models" / "bert-tiny"
# What members and student cost does not depend on the pool: few steps, few rows to score.
SMALL = (
    "train_from=0",
    "generations=0",
    "member.steps=20",
    "student.steps=50",
    "supervised.steps=10",
    "max_length=32",
    "unlabeled_rows=2000",
)
ROWS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    case: str
    rows: int
    minutes: float
    peak: float  # MB


def pet(*arguments: str) -> tuple[float, float]:
    """Run the command; return minutes and peak memory in MB."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            raise SystemExit(f"pet {' '.join(arguments)}\n{said.read().decode()}")
    return (time.monotonic() - started) / 60, used.ru_maxrss / 1024


def words() -> list[str]:
    """Return the whole words of letters that BERT-tiny has one token for, by length and name."""
    vocabulary = json.loads((MODEL / "tokenizer.json").read_text())["model"]["vocab"]
    own = {word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 3}
    return sorted(own, key=lambda word: (len(word), word))


def write_task(path: Path, labels: dict[str, str], patterns: Sequence[str]) -> Path:
    lines = ['name = "size"', 'fields = ["text"]', "[labels]"]
    lines += [f'{label} = "{word}"' for label, word in labels.items()]
    lines += ["[patterns]", *(f'p{number} = "{text}"' for number, text in enumerate(patterns))]
    path.write_text("\n".join(lines) + "\n")
    return path


TICKETS = {"billing": "payment", "delivery": "delivery", "technical": "software"}
TWO = ("category: {mask}. {text}", "{text} This is about {mask}")


def write_pool(path: Path, rows: int) -> Path:
    """Write short texts of random words, each row with an id of its own."""
    rng = np.random.default_rng(0)
    some = np.array(words()[:3000])
    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for start in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - start)
            drawn = some[rng.integers(0, len(some), (count, 8))]
            texts = [" ".join(row) for row in drawn]
            ids = [f"ticket-{number:09d}" for number in range(start, start + count)]
            file.write_table(pa.table([ids, texts], schema=schema))
    return path


def run(folder: Path, name: str, pool: Path, task: Path, labeled: Path, *more: str) -> Row:
    out = folder / f"run-{name.replace(' ', '-')}"
    settings = [part for setting in (*SMALL, *more) for part in ("--set", setting)]
    minutes, peak = pet(
        "run",
        str(task),
        "--plain",
        "--labeled",
        str(labeled),
        "--pool",
        str(pool),
        "--model",
        str(MODEL),
        "--out",
        str(out),
        *settings,
    )
    return Row(f"`pet run`, {name}", labeled_rows(out / "labels"), minutes, peak)


def labeled_rows(labels: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in labels.glob("part-*.parquet"))


def label(folder: Path, open_run_folder: Path, name: str, pool: Path) -> Row:
    out = folder / f"labels-{name.replace(' ', '-')}"
    minutes, peak = pet("label", str(open_run_folder), "--pool", str(pool), "--out", str(out))
    return Row(f"`pet label`, {name}", labeled_rows(out), minutes, peak)


def growing(folder: Path, rows: int) -> list[Row]:
    """A pool, and one ten times as large, by `pet run` and by `pet label`."""
    task, labeled = write_task(folder / "task.toml", TICKETS, TWO), SAMPLE / "tickets-labeled.csv"
    found = []
    for size, name in ((rows, "a pool"), (10 * rows, "ten times as large")):
        pool = write_pool(folder / f"{size}.parquet", size)
        found.append(run(folder, name, pool, task, labeled))
        found.append(label(folder, folder / "run-a-pool", name, pool))
    return sorted(found, key=lambda row: row.case.startswith("`pet label`"))


def million(folder: Path, rows: int) -> list[Row]:
    """A large pool, with distinct ids and all settings at their defaults."""
    task = write_task(folder / "task.toml", TICKETS, TWO)
    pool, out = write_pool(folder / "large.parquet", rows), folder / "run-large"
    minutes, peak = pet(
        "run",
        str(task),
        "--plain",
        "--labeled",
        str(SAMPLE / "tickets-labeled.csv"),
        "--pool",
        str(pool),
        "--model",
        str(MODEL),
        "--out",
        str(out),
        "--set",
        "train_from=0",
        "--set",
        "generations=0",
    )
    ids = pq.read_table(out / "labels", columns=["id"])["id"]
    assert len(ids.unique()) == rows, "ids were lost"
    return [Row("`pet run`, defaults without generations", rows, minutes, peak)]


def long_row(folder: Path, _rows: int) -> list[Row]:
    task = write_task(folder / "task.toml", TICKETS, TWO)
    texts = ["payment " * 650_000, *("the parcel is late" for _ in range(99))]
    pq.write_table(pa.table({"text": texts}), folder / "pool.parquet")
    labeled = SAMPLE / "tickets-labeled.csv"
    return [run(folder, "a row of 5 MB", folder / "pool.parquet", task, labeled)]


def many_files(folder: Path, _rows: int) -> list[Row]:
    task = write_task(folder / "task.toml", TICKETS, TWO)
    (folder / "pool").mkdir()
    texts = pq.read_table(write_pool(folder / "whole.parquet", 100_000))
    for number in range(10_000):
        pq.write_table(texts.slice(10 * number, 10), folder / "pool" / f"{number:05d}.parquet")
    labeled = SAMPLE / "tickets-labeled.csv"
    return [run(folder, "10,000 Parquet files", folder / "pool", task, labeled)]


def many_labels(folder: Path, _rows: int) -> list[Row]:
    names = words()[::40][:100]
    task = write_task(folder / "task.toml", {name: name for name in names}, TWO)
    known = {"text": [f"all about {name}" for name in names], "label": names}
    pq.write_table(pa.table(known), folder / "labeled.parquet")
    pool = write_pool(folder / "pool.parquet", 2000)
    return [run(folder, "100 labels", pool, task, folder / "labeled.parquet")]


def many_patterns(folder: Path, _rows: int) -> list[Row]:
    patterns = [f"{word}: {{mask}}. {{text}}" for word in words()[1000:1030]]
    task = write_task(folder / "task.toml", TICKETS, patterns)
    pool = write_pool(folder / "pool.parquet", 2000)
    return [run(folder, "30 patterns", pool, task, SAMPLE / "tickets-labeled.csv")]


CASES: dict[str, tuple[Callable[[Path, int], list[Row]], int]] = {
    "growing": (growing, 20_000),
    "million": (million, 1_000_000),
    "long-row": (long_row, 0),
    "files": (many_files, 0),
    "labels": (many_labels, 0),
    "patterns": (many_patterns, 0),
}


def document(found: dict[str, list[Row]]) -> str:
    made_with = ", ".join(f"{name} {value}" for name, value in versions().items())
    lines = [
        "# Memory and time by size",
        "",
        f"{date.today()}; BERT-tiny on {platform.machine()}, {os.cpu_count()} cores that did other "
        f"things too (load {os.getloadavg()[0]:.0f} at the end), so minutes are an upper bound; "
        f"{made_with}. `make bench-size` measures it anew.",
        "",
        "| | rows labeled | minutes | peak memory, MB |",
        "|---|---:|---:|---:|",
    ]
    for row in (row for rows in found.values() for row in rows):
        lines.append(f"| {row.case} | {row.rows:,} | {row.minutes:.1f} | {row.peak:,.0f} |")
    if rows := found.get("growing"):
        peaks = {row.case.partition(", ")[::2]: row.peak for row in rows}
        shares = []
        for verb in ("`pet run`", "`pet label`"):
            share = peaks[verb, "ten times as large"] / peaks[verb, "a pool"] - 1
            shares.append(f"{100 * share:+.1f} % for {verb}")
        lines += ["", f"Peak memory of a pool ten times as large: {', '.join(shares)}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.size", description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="some of them only")
    parser.add_argument("--rows", type=int, help="rows of the pools of `growing` and `million`")
    parser.add_argument("--write", type=Path, default=RESULT, help="the file for the table")
    options = parser.parse_args()
    found = {}
    for name in options.cases or CASES:
        measure, rows = CASES[name]
        with tempfile.TemporaryDirectory(prefix="pet-size-") as folder:
            found[name] = measure(Path(folder), options.rows or rows)
        for row in found[name]:
            print(row, flush=True)
    write_text(options.write, document(found))


if __name__ == "__main__":
    main()
