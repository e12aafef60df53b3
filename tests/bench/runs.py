"""The cells of the quality benchmark that are runs of `pet` itself."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from data.cache import cache_root
from pet.inputs.presets import has_fast_bfloat16
from pet.pipeline import label_pool
from pet.settings import make_config

if TYPE_CHECKING:
    from tests.bench.quality import Cell

Figures = dict[str, Any]


# A language model that is only asked, a sentence encoder as one more member, the same encoder as
# the student: what two cores can do in minutes with models of 135 and 22 million parameters, if
# the larger one reads 64 tokens of a text and the student takes 300 steps; it reads 128 tokens, as
# everyone else's, the encoder 256, as it does by default.
LARGER = (
    "member.steps=0",
    f"precision={'bfloat16' if has_fast_bfloat16() else 'float32'}",
    "max_length=64",
    "student_max_length=128",
    "student.steps=300",
)

TINY_MODELS = {"model": "bert-tiny"}
LARGER_MODELS = {"model": "smollm2", "encoder": "minilm", "student_model": "minilm"}


def measure(cell: Cell) -> dict[str, Figures]:
    """Run `pet` on the cell's labeled rows: with BERT-tiny alone, or with the larger models."""
    return measure_larger(cell) if cell.method == "larger" else measure_tiny(cell)


def measure_tiny(cell: Cell) -> dict[str, Figures]:
    """Run PET, then iPET on top of it, in one folder: members of generation 0 are shared."""
    pet = _run(cell, cell.run, TINY_MODELS, "generations=0", seed=cell.seed)
    found = {
        "supervised": pet["test"].get("supervised"),
        **_patterns(pet["test"]["patterns"]),
        **_ensembles(pet["test"], "PET"),
        "PET student": {**pet["test"]["student"], "minutes": _minutes(pet)},
    }
    ipet = _run(cell, cell.run, TINY_MODELS, seed=cell.seed)
    found |= {
        "iPET mean pattern": _mean(list(ipet["test"]["patterns"].values()), "trained"),
        **_ensembles(ipet["test"], "iPET"),
        "iPET student": {**ipet["test"]["student"], "minutes": _minutes(ipet)},
        "iPET labels of the pool": {"accuracy": pool_label_accuracy(cell.run, cell.texts)},
    }
    for weights in (cell.run / "members").rglob("*.safetensors"):
        weights.unlink()  # a quarter of a gigabyte a cell; what the members said stays
    return {name: figures for name, figures in found.items() if figures is not None}


def measure_larger(cell: Cell) -> dict[str, Figures]:
    """Ask SmolLM2 and MiniLM, distil into MiniLM; one folder for all labeled sets of a task.

    What the untrained language model says does not depend on the labels, so it is asked once.
    """
    run = cell.run.with_name(f"larger-{cell.name}-{cell.task}")
    run.parent.mkdir(parents=True, exist_ok=True)
    with run.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # cells that share the folder wait for each other
        report = _run(cell, run, LARGER_MODELS, *LARGER, seed=0)
        right = pool_label_accuracy(run, cell.texts)
    test = report["test"]
    zero_shot = [own["zero_shot"] for own in test["patterns"].values()]
    found = {
        "SmolLM2, zero-shot, mean pattern": {
            name: float(np.mean([own[name] for own in zero_shot])) for name in METRICS
        },
        "encoder member (MiniLM)": test.get("encoder"),
        **_ensembles(test, "SmolLM2 + MiniLM"),
        "MiniLM student of both": {**test["student"], "minutes": _minutes(report)},
        "labels of the pool by it": {"accuracy": right},
    }
    return {name: figures for name, figures in found.items() if figures is not None}


METRICS = ("accuracy", "macro_f1", "ece")


def _run(
    cell: Cell, run: Path, models: dict[str, str], *settings: str, seed: int
) -> dict[str, Any]:
    folder = cache_root() / "models"
    config = make_config(
        {
            "task": cell.task,
            "labeled": str(cell.labeled) if cell.labeled else None,
            "out": str(run),
            "pool": str(cell.texts / "pool.parquet"),
            "test": str(cell.test),
            **{option: str(folder / name) for option, name in models.items()},
            "seed": seed,
        },
        (*settings, *cell.settings),
    )
    return label_pool(config, update=True)


def _ensembles(measured: dict[str, Any], name: str) -> dict[str, Figures]:
    """The ensemble as configured, and under every way of weighing its members."""
    ways = {f"{name} ensemble, weights {way}": own for way, own in measured["ensembles"].items()}
    return {f"{name} ensemble": measured["ensemble"], **ways}


def _patterns(patterns: dict[str, Any]) -> dict[str, Figures]:
    trained = sorted((own["trained"] for own in patterns.values()), key=lambda m: m["accuracy"])
    return {
        "zero-shot, mean pattern": _mean(list(patterns.values()), "zero_shot"),
        "worst pattern": trained[0],
        "mean pattern": _mean(list(patterns.values()), "trained"),
        "best pattern": trained[-1],
    }


def _mean(patterns: list[dict[str, Figures]], key: str) -> Figures:
    return {name: float(np.mean([own[key][name] for own in patterns])) for name in METRICS}


def _minutes(report: dict[str, Any]) -> float:
    return float(sum(report["seconds"].values()) / 60)


def pool_label_accuracy(run: Path, texts: Path) -> float:
    """How many of the pool's labels are right, by labels that no run ever sees."""
    truth = pq.read_table(texts / "pool-labels.parquet").to_pydict()
    known = dict(zip(truth["id"], truth["label"], strict=True))
    hits = []
    for path in sorted((run / "labels").glob("part-*.parquet")):
        table = pq.read_table(path, columns=["id", "label"])
        hits += [
            known[row] == label for row, label in zip(*table.to_pydict().values(), strict=True)
        ]
    return float(np.mean(hits))
