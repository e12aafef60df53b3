"""The quality benchmark's cells as Markdown for people and CSV for programs."""

from __future__ import annotations

import csv
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch

from pet.reporting.report import versions
from pet.storage.files import write_json, write_text, writing

if TYPE_CHECKING:
    from tests.bench.quality import Cell

RESULTS = Path(__file__).parent / "results"
MEASURES = {"accuracy": 4, "macro_f1": 4, "ece": 4, "minutes": 1}  # digits in the CSV file

# Methods of the page, in order: each is named in the CSV file as a cell names it.
METHODS = (
    "TF-IDF + LR",
    "MiniLM + LR",
    "MiniLM + LR, self-training",
    "SetFit",
    "BERT-tiny, fine-tuned",
    "BERT-tiny, consistency training",
    "BERT-tiny, zero-shot, mean pattern",
    "BERT-tiny: ensemble",
    "BERT-tiny: student",
    "BERT-tiny: labels of the pool",
    "SmolLM2, zero-shot, mean pattern",
    "encoder member (MiniLM)",
    "SmolLM2 + MiniLM: ensemble",
    "SmolLM2 + MiniLM: student",
    "SmolLM2 + MiniLM: labels of the pool",
)

# The state of the method that a cell measures: raised when the method changes, so that figures of
# two states are never averaged. Figures of a former one stay until they are measured again.
STATE = 3

# task, method, labels, measure -> a figure per labeled set
Figures = dict[tuple[str, str, str, str], list[float]]


def write_tables(cells: Sequence[Cell], name: str) -> Path:
    """Add what was measured to `results/NAME.csv`, and write `results/NAME.md` of all of it."""
    path = RESULTS / f"{name}.md"
    rows = read_rows(path.with_suffix(".csv"))
    for cell in cells:
        if not cell.path.exists():
            continue
        for method, found in json.loads(cell.path.read_text()).items():
            shown = {
                measure: "" if found.get(measure) is None else f"{found[measure]:.{digits}f}"
                for measure, digits in MEASURES.items()
            }
            rows[cell.task, str(cell.labels), str(cell.seed), method, str(STATE)] = shown
    with writing(path.with_suffix(".csv")) as temporary, temporary.open("w", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow([*KEYS, *MEASURES])
        for key in sorted(rows, key=_place):
            out.writerow([*key, *rows[key].values()])
    write_text(path, _document(rows) + notes(path))
    return path


KEYS = ("task", "labels", "seed", "method", "state")
Rows = dict[tuple[str, ...], dict[str, str]]


def read_rows(path: Path) -> Rows:
    """Read the figures of a CSV file; none where there is no such file."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as stream:
        return {
            tuple(row[key] for key in KEYS): {measure: row[measure] for measure in MEASURES}
            for row in csv.DictReader(stream)
        }


def gather(rows: Rows) -> Figures:
    """Gather the figures of all labeled sets, of the latest state that there are any of."""
    figures: Figures = defaultdict(list)
    latest = latest_states(rows)
    for (task, labels, _, method, state), found in rows.items():
        for measure, value in found.items():
            if value and state == latest[task, method, labels]:
                figures[task, method, labels, measure].append(float(value))
    return figures


def latest_states(rows: Rows) -> dict[tuple[str, str, str], str]:
    """Return the latest state of each task, method and number of labels."""
    return {
        (task, method, labels): state
        for task, labels, _, method, state in sorted(rows, key=lambda key: int(key[4]))
    }


def _place(key: tuple[str, ...]) -> tuple[str, int, int, int, int]:
    task, labels, seed, method, state = key
    return task, METHODS.index(method), int(labels), int(seed), int(state)


def _document(rows: Rows) -> str:
    lines = [
        "# Quality of labels",
        "",
        "Written by `make bench-quality`; every figure of every labeled set stands in the CSV file "
        "beside this page. Accuracy, its standard deviation over labeled sets (how many, where not "
        "five), and behind the dot the calibration error (ECE), on 1,000 test rows that nothing "
        "was chosen on; of the pool's labels on the pool. Last measured with "
        + ", ".join(f"{name} {number}" for name, number in versions().items())
        + ".",
    ]
    figures = gather(rows)
    former = {place for place, state in latest_states(rows).items() if state != str(STATE)}
    if former:
        lines += ["", "† of a former state of the method, not measured again yet."]
    for task in dict.fromkeys(key[0] for key in rows):
        lines += ["", f"## {task}", "", *_table(figures, task, former)]
    return "\n".join(lines) + "\n"


def _table(figures: Figures, task: str, former: set[tuple[str, str, str]]) -> list[str]:
    counts = sorted({key[2] for key in figures if key[0] == task}, key=int)
    lines = ["| | " + " | ".join(f"{count} labels" for count in counts) + " |"]
    lines.append("|---|" + "---|" * len(counts))
    for method in METHODS:
        row = [
            _spread(figures, task, method, count) + " †" * ((task, method, count) in former)
            for count in counts
        ]
        if any(row):
            lines.append(f"| {method} | " + " | ".join(row) + " |")
    return lines


def _spread(figures: Figures, task: str, method: str, count: str) -> str:
    values = figures.get((task, method, count, "accuracy"), [])
    if not values:
        return ""
    text = f"{np.mean(values):.3f}"
    if len(values) > 1:
        text += f" ± {np.std(values, ddof=1):.3f}"
    if len(values) != 5:
        text += f" ({len(values)})"
    errors = figures.get((task, method, count, "ece"), [])
    return f"{text} · {np.mean(errors):.2f}" if errors else text


def ceiling() -> float:
    """Measure this machine's rate of float32 matrix products, in GFLOP/s."""
    a = torch.randn(1024, 1024)
    a @ a
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    return 20 * 2 * 1024**3 / (time.perf_counter() - started) / 1e9


NOTES = "\n## Discussion\n"


def notes(path: Path) -> str:
    """Keep what a person wrote below the tables."""
    before = path.read_text() if path.exists() else ""
    return NOTES + before.partition(NOTES)[2] if NOTES in before else ""


class Measurable(Protocol):
    """A cell of a benchmark, whose figures are a file."""

    @property
    def path(self) -> Path: ...


C = TypeVar("C", bound=Measurable)


def measure_missing(
    cells: Iterable[C],
    measure: Callable[[C], Any],
    shown: Callable[[Any], object] = str,
) -> None:
    """Measure the cells that have no file yet, and keep what was found in one each."""
    for cell in cells:
        if not cell.path.exists():
            found = measure(cell)
            write_json(cell.path, found)
            print(f"{cell.path.stem}: {shown(found)}", flush=True)


def write_page(name: str, text: str) -> None:
    """Write and show `results/NAME.md`; what people have written below its tables stays."""
    path = RESULTS / f"{name}.md"
    write_text(path, text + notes(path))
    print(path.read_text())
