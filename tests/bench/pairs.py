"""A task of two fields, measured: does a subject belong to a text? `make bench-pairs`

    python -m tests.bench.pairs                                what is missing, then the page
    python -m tests.bench.pairs --split validation --seeds 5 --labels 50

`python -m data.fetch subjects` makes the texts, and `pet run` reads the task file beside them. Like
`tests.bench.quality`, with baselines of pairs: linear models on the words of both fields, and on
one number, how alike the fields are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer

from data.cache import cache_root
from pet.checking.zero_shot import label_zero_shot
from pet.progress import SILENT
from tests.bench import baselines, runs
from tests.bench.quality import Cell
from tests.bench.tables import measure_missing, write_page

FIELDS = ("subject", "text")
FEWER_ROWS = 100  # that SmolLM2 is asked about
SETTINGS = ("generations=0", "out_of_bag=0", "unlabeled_rows=500", "student.steps=200")
ZERO_SHOT = "SmolLM2, zero-shot"


@dataclass(frozen=True)
class PairCell(Cell):
    """A labeled set; the task is its file."""

    @property
    def path(self) -> Path:
        place = f"{self.split}-{self.labels}-seed{self.seed}.json"
        return cache_root() / "bench" / "pairs" / place

    @property
    def texts(self) -> Path:
        return Path(self.task).parent


def measure(cell: PairCell) -> dict[str, Any]:
    """Measure everything that learns from labels; or, without labels, what does not."""
    if not cell.labels:
        return {ZERO_SHOT: zero_shot(cell)}
    return {**linear_baselines(cell), **runs.measure_tiny(cell)}


def linear_baselines(cell: PairCell) -> dict[str, Any]:
    known, test = (pq.read_table(path).to_pydict() for path in (cell.labeled, cell.test))
    pool = pq.read_table(cell.texts / "pool.parquet").to_pydict()
    names = sorted(set(test["label"]))
    gold, truth = baselines.indices(known, names), baselines.indices(test, names)
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    words.fit(pool["subject"] + pool["text"])

    def of_both(rows: dict[str, list[str]]) -> Any:
        return hstack([words.transform(rows[field]) for field in FIELDS])

    def words_alike(rows: dict[str, list[str]]) -> NDArray[np.floating]:
        one, other = (words.transform(rows[field]) for field in FIELDS)
        return np.asarray(one.multiply(other).sum(axis=1))

    def vectors_alike(rows: dict[str, list[str]]) -> NDArray[np.floating]:
        one, other = (baselines.embed(rows[field])[0] for field in FIELDS)
        return (one * other).sum(axis=1, keepdims=True)

    found = {}
    for name, features in {
        "TF-IDF of both fields + LR": of_both,
        "TF-IDF cosine + LR": words_alike,
        "MiniLM cosine + LR": vectors_alike,
    }.items():
        started = time.monotonic()
        model = baselines.linear().fit(features(known), gold)
        said = model.predict_proba(features(test))
        found[name] = baselines.figures(said, gold, truth, names, time.monotonic() - started)
    return found


def zero_shot(cell: PairCell) -> dict[str, Any]:
    """Label the first rows by SmolLM2, as `pet label TASK --zero-shot` does."""
    with tempfile.TemporaryDirectory(prefix="pet-bench-") as name:
        texts, out = Path(name) / "texts", Path(name) / "out"
        texts.mkdir()
        table = pq.read_table(cell.test).slice(0, FEWER_ROWS)
        pq.write_table(table.drop_columns("label"), texts / "pool.parquet")
        pq.write_table(table.select(["id", "label"]), texts / "pool-labels.parquet")
        label_zero_shot(
            cell.task,
            str(texts / "pool.parquet"),
            out,
            str(cache_root() / "models" / "smollm2"),
            SILENT,
            settings=("calibration=half-matched",),
        )
        return runs.label_figures(out, Path(cell.task), texts)


def accuracies(found: dict[str, Any]) -> str:
    """Give the accuracy of each method, for a line on the screen."""
    return ", ".join(f"{method} {own['accuracy']:.3f}" for method, own in found.items())


def document(cells: Sequence[PairCell], split: str) -> str:
    """Lay out means over the labeled sets, by number of labels."""
    figures: dict[str, dict[int, list[float]]] = {}
    for cell in cells:
        if cell.path.exists():
            for method, found in json.loads(cell.path.read_text()).items():
                figures.setdefault(method, {}).setdefault(cell.labels, []).append(found["accuracy"])
    counts = sorted({count for own in figures.values() for count in own})
    lines = [
        "# A task of two fields",
        "",
        f"{date.today()}, written by `make bench-pairs`: does a subject belong to a reply of a "
        "newsgroup, or to another one of the same group "
        f"([data/README.md](../../../data/README.md#subjects))? Accuracy on 800 {split} rows "
        f"(SmolLM2: the first {FEWER_ROWS}), half of each label; means of labeled sets (how many). "
        f"BERT-tiny: `pet run` with `{' '.join(SETTINGS)}`.",
        "",
        "| | " + " | ".join(f"{count} labels" for count in counts) + " |",
        "|---|" + "---|" * len(counts),
    ]
    for method, own in figures.items():
        shown = [f"{np.mean(own[n]):.3f} ({len(own[n])})" if n in own else "" for n in counts]
        lines.append(f"| {method} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--labels", nargs="+", type=int, default=[50, 10, 0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--write", default="pairs", help="the name of the table's file")
    options = parser.parse_args()
    task = str(cache_root() / "subjects" / "task.toml")
    cells = [
        PairCell("pet", task, labels, seed, options.split, "default", SETTINGS)
        for labels in options.labels
        for seed in (options.seeds if labels else options.seeds[:1])  # without labels all are one
    ]
    measure_missing(cells, measure, accuracies)
    write_page(options.write, document(cells, options.split))


if __name__ == "__main__":
    main()
