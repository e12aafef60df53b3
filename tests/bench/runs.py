"""The cells of the quality benchmark that are runs of `pet` itself."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from data.cache import cache_root
from pet.inputs.presets import with_preset
from pet.method.metrics import metrics
from pet.pipeline import label_pool
from pet.settings import make_config
from pet.tasks.task import load_task

if TYPE_CHECKING:
    from tests.bench.quality import Cell

Figures = dict[str, Any]


TINY_MODELS = {"model": "bert-tiny"}
LARGER_MODELS = {"model": "smollm2", "encoder": "minilm", "student_model": "minilm"}


def measure(cell: Cell) -> dict[str, Figures]:
    """Run `pet` on the cell's labeled rows: with BERT-tiny alone, or with the larger models."""
    return measure_larger(cell) if cell.method == "larger" else measure_tiny(cell)


def measure_tiny(cell: Cell) -> dict[str, Figures]:
    """Run `pet run` as a user types it, with BERT-tiny as teacher and student."""
    report = _run(cell, cell.run, TINY_MODELS, seed=cell.seed)
    test = report["test"]
    found = {
        "BERT-tiny, fine-tuned": test.get("supervised"),
        "BERT-tiny, zero-shot, mean pattern": _zero_shot(test),
        **_results(cell, cell.run, report, "BERT-tiny"),
    }
    for weights in (cell.run / "members").rglob("*.safetensors"):
        weights.unlink()  # a quarter of a gigabyte a cell; what the members said stays
    return {name: figures for name, figures in found.items() if figures is not None}


def measure_larger(cell: Cell) -> dict[str, Figures]:
    """Run `pet run` with SmolLM2 as teacher, MiniLM as encoder and student.

    One folder for all labeled sets of a task: what the untrained language model predicts (up to 31
    labeled rows) does not depend on the labels, so it is computed once.
    """
    run = cell.run.with_name(f"larger-{cell.name}-{cell.task}")
    run.parent.mkdir(parents=True, exist_ok=True)
    with run.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # cells that share the folder wait for each other
        report = _run(cell, run, LARGER_MODELS, seed=0)
        found = {
            "SmolLM2, zero-shot, mean pattern": _zero_shot(report["test"]),
            "encoder member (MiniLM)": report["test"].get("encoder"),
            **_results(cell, run, report, "SmolLM2 + MiniLM"),
        }
    return {name: figures for name, figures in found.items() if figures is not None}


def _results(cell: Cell, run: Path, report: dict[str, Any], models: str) -> dict[str, Figures]:
    """Gather what a run delivers: its ensemble, its student and its labels of the pool."""
    return {
        f"{models}: ensemble": report["test"]["ensemble"],
        f"{models}: student": {**report["test"]["student"], "minutes": _minutes(report)},
        f"{models}: labels of the pool": pool_label_figures(run, cell.texts),
    }


def _zero_shot(test: dict[str, Any]) -> Figures | None:
    """Return the mean pattern's figures before training; None where it was trained jointly."""
    patterns = [own["zero_shot"] for own in test["patterns"].values() if "zero_shot" in own]
    if not patterns:
        return None
    return {name: float(np.mean([own[name] for own in patterns])) for name in METRICS}


METRICS = ("accuracy", "macro_f1", "ece")


def _run(cell: Cell, run: Path, models: dict[str, str], *, seed: int) -> dict[str, Any]:
    """Do what `pet run` does, with the preset that it chooses."""
    folder = cache_root() / "models"
    values = {
        "task": str(own) if (own := cell.texts / "task.toml").exists() else cell.task,
        "labeled": str(cell.labeled) if cell.labeled else None,
        "out": str(run),
        "pool": str(cell.texts / "pool.parquet"),
        "test": str(cell.test),
        **{option: str(folder / name) for option, name in models.items()},
        "seed": seed,
    }
    config = with_preset(
        lambda more: make_config({**values, **more}, cell.settings), lambda _: None
    )
    return label_pool(config, update=True)


def _minutes(report: dict[str, Any]) -> float:
    return float(sum(report["seconds"].values()) / 60)


def pool_label_figures(run: Path, texts: Path) -> Figures:
    """Measure the pool's labels, by labels that no run ever sees."""
    return label_figures(run / "labels", run / "task.toml", texts)


def label_figures(labeled: Path, task: Path, texts: Path) -> Figures:
    """Measure the labels in a folder of parts."""
    known = pq.read_table(texts / "pool-labels.parquet").to_pydict()
    truth = dict(zip(known["id"], known["label"], strict=True))
    parts = sorted(labeled.glob("part-*.parquet"))
    labels = pq.read_table([str(part) for part in parts], columns=["id", "probabilities"])
    names = list(load_task(task).labels)
    probabilities = np.array(
        [[row[name] for name in names] for row in labels["probabilities"].to_pylist()]
    )
    right = np.array([names.index(truth[row]) for row in labels["id"].to_pylist()])
    return metrics(probabilities, right)
