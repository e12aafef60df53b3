"""The cells of the quality benchmark that are runs of `pet` itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from data.cache import cache_root
from pet.config import make_config
from pet.pipeline import label_pool

if TYPE_CHECKING:
    from tests.bench.quality import Cell

Figures = dict[str, Any]


def measure(cell: Cell) -> dict[str, Figures]:
    """Run PET, then iPET on top of it, in one folder: members of generation 0 are shared."""
    pet = _run(cell, "generations=0")
    found = {
        "supervised": pet["test"].get("supervised"),
        **_patterns(pet["test"]["patterns"]),
        "PET ensemble": pet["test"]["ensemble"],
        "PET student": {**pet["test"]["student"], "minutes": _minutes(pet)},
    }
    ipet = _run(cell)
    found |= {
        "iPET mean pattern": _mean(list(ipet["test"]["patterns"].values()), "trained"),
        "iPET ensemble": ipet["test"]["ensemble"],
        "iPET student": {**ipet["test"]["student"], "minutes": _minutes(ipet)},
        "labels of the pool": {"accuracy": pool_label_accuracy(cell)},
    }
    for weights in (cell.run / "members").rglob("*.safetensors"):
        weights.unlink()  # a quarter of a gigabyte a cell; what the members said stays
    return {name: figures for name, figures in found.items() if figures is not None}


def _run(cell: Cell, *settings: str) -> dict[str, Any]:
    models = cache_root() / "models"
    config = make_config(
        {
            "task": cell.task, "labeled": str(cell.labeled) if cell.labeled else None,
            "out": str(cell.run), "pool": str(cell.texts / "pool.parquet"),
            "test": str(cell.test), "model": str(models / "bert-tiny"), "seed": cell.seed,
        },
        (*cell.settings, *settings),
    )  # fmt: skip
    return label_pool(config, update=True)


def _patterns(patterns: dict[str, Any]) -> dict[str, Figures]:
    trained = sorted((own["trained"] for own in patterns.values()), key=lambda m: m["accuracy"])
    return {
        "zero-shot, mean pattern": _mean(list(patterns.values()), "zero_shot"),
        "worst pattern": trained[0],
        "mean pattern": _mean(list(patterns.values()), "trained"),
        "best pattern": trained[-1],
    }


def _mean(patterns: list[dict[str, Figures]], key: str) -> Figures:
    return {
        name: float(np.mean([own[key][name] for own in patterns]))
        for name in ("accuracy", "macro_f1", "ece")
    }


def _minutes(report: dict[str, Any]) -> float:
    return float(sum(report["seconds"].values()) / 60)


def pool_label_accuracy(cell: Cell) -> float:
    """How many of the pool's labels are right, by labels that no run ever sees."""
    truth = pq.read_table(cell.texts / "pool-labels.parquet").to_pydict()
    known = dict(zip(truth["id"], truth["label"], strict=True))
    hits = []
    for path in sorted((cell.run / "labels").glob("part-*.parquet")):
        table = pq.read_table(path, columns=["id", "label"])
        hits += [
            known[row] == label
            for row, label in zip(*table.to_pydict().values(), strict=True)
        ]  # fmt: skip
    return float(np.mean(hits))
