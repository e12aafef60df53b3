"""Accuracy and time over several seeds, beside what anyone would try first.

    python -m tests.bench.accuracy                       newsgroups, 50 labels, seeds 0 to 4
    python -m tests.bench.accuracy --labels 10 --task movies --split validation --seeds 5 6 7

Every cell is a run folder under PET_CACHE, so that an interrupted benchmark goes on. Settings are
chosen on `--split validation` with seeds 5 to 7; what is reported is `test` with seeds 0 to 4.
"""

from __future__ import annotations

import argparse
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data.cache import cache_root
from pet.config import make_config
from pet.pipeline import label_pool
from pet.report import versions

RESULTS = Path(__file__).parent / "results"


def tfidf_accuracy(folder: Path, labeled: str, split: str) -> float:
    """TF-IDF fitted on the pool, logistic regression on the labeled rows."""
    train, test = pq.read_table(folder / labeled), pq.read_table(folder / f"{split}.parquet")
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english")
    vectorizer.fit(pq.read_table(folder / "pool.parquet")["text"].to_pylist())
    model = LogisticRegression(max_iter=1000, C=10)
    model.fit(vectorizer.transform(train["text"].to_pylist()), train["label"].to_pylist())
    said = model.predict(vectorizer.transform(test["text"].to_pylist()))
    return float((said == np.asarray(test["label"].to_pylist())).mean())


def pool_label_accuracy(run: Path, folder: Path) -> float:
    """How many of the pool's labels are right, by labels that no run ever sees."""
    truth = pq.read_table(folder / "pool-labels.parquet").to_pydict()
    known = dict(zip(truth["id"], truth["label"], strict=True))
    hits = [
        known[row] == label
        for path in sorted((run / "labels").glob("part-*.parquet"))
        for row, label in zip(*pq.read_table(path, columns=["id", "label"]).to_pydict().values(),
                              strict=True)
    ]  # fmt: skip
    return float(np.mean(hits))


def measure(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Run one cell of the table, or take it up where it was."""
    cache = cache_root()
    folder = cache / options.task
    labeled = f"labeled-{options.labels}-seed{seed}.parquet"
    name = f"{options.task}-{options.labels}-{options.split}-{options.name}-seed{seed}"
    run = cache / "bench" / name
    config = make_config(
        {
            "task": options.task, "labeled": str(folder / labeled), "out": str(run),
            "pool": str(folder / "pool.parquet"), "test": str(folder / f"{options.split}.parquet"),
            "model": str(cache / "models" / options.model), "preset": options.preset,
            "student_model": str(cache / "models" / options.student), "seed": seed,
        },
        tuple(options.set),
    )  # fmt: skip
    started = time.monotonic()
    report = label_pool(config, update=True)
    wall = time.monotonic() - started
    timing = run / "wall.txt"
    if not timing.exists():
        timing.write_text(f"{wall:.1f}")
    test = report["test"]
    patterns = [pattern["trained"]["accuracy"] for pattern in test["patterns"].values()]
    zero_shot = [pattern["zero_shot"]["accuracy"] for pattern in test["patterns"].values()]
    return {
        "TF-IDF + LR": tfidf_accuracy(folder, labeled, options.split),
        "supervised": test["supervised"]["accuracy"],
        "zero-shot, mean pattern": float(np.mean(zero_shot)),
        "worst pattern": min(patterns),
        "mean pattern": float(np.mean(patterns)),
        "best pattern": max(patterns),
        "ensemble": test["ensemble"]["accuracy"],
        "student": test["student"]["accuracy"],
        "student macro-F1": test["student"]["macro_f1"],
        "student ECE": test["student"]["ece"],
        "labels of the pool": pool_label_accuracy(run, folder),
        "seconds": float(timing.read_text()),
    }


def table(options: argparse.Namespace, cells: list[dict[str, float]]) -> str:
    """Lay out mean, standard deviation and every seed as Markdown."""
    seeds = " | ".join(f"seed {seed}" for seed in options.seeds)
    lines = [
        f"## {options.task}, {options.labels} labels, {options.split} rows ({options.name})",
        "",
        f"{date.today()}, teacher {options.model}, student {options.student}, preset "
        f"{options.preset}{', ' if options.set else ''}{', '.join(options.set)}; "
        f"{torch.get_num_threads()} threads, {platform.machine()}, matrix products at "
        f"{ceiling():.0f} GFLOP/s; "
        + ", ".join(f"{name} {number}" for name, number in versions().items()),
        "",
        f"| | mean | sd | {seeds} |",
        "|---|---|---|" + "---|" * len(options.seeds),
    ]
    for name in cells[0]:
        values = np.array([cell[name] for cell in cells])
        digits = 0 if name == "seconds" else 3
        row = " | ".join(f"{value:.{digits}f}" for value in values)
        lines.append(
            f"| {name} | {values.mean():.{digits}f} | {values.std(ddof=1):.{digits}f} | {row} |"
        )
    return "\n".join(lines) + "\n"


def ceiling() -> float:
    """Measure this machine's rate of float32 matrix products, in GFLOP/s."""
    a = torch.randn(1024, 1024)
    a @ a
    started = time.perf_counter()
    for _ in range(20):
        a @ a
    return 20 * 2 * 1024**3 / (time.perf_counter() - started) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--task", default="newsgroups")
    parser.add_argument("--labels", type=int, default=50)
    parser.add_argument("--split", default="test", choices=["test", "validation"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--model", default="bert-tiny")
    parser.add_argument("--student", default="bert-tiny")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--name", default="default", help="names the settings in file names")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    cells: list[dict[str, Any]] = []
    for seed in options.seeds:
        cells.append(measure(options, seed))
        print(
            f"seed {seed}: " + ", ".join(f"{k} {v:.3f}" for k, v in cells[-1].items()), flush=True
        )
    if len(cells) > 1:
        text = table(options, cells)
        name = f"{options.task}-{options.labels}-{options.split}-{options.name}.md"
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / name).write_text(text)
        print(text)


if __name__ == "__main__":
    main()
