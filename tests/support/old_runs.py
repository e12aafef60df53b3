"""A run folder as version 0.1.0 wrote it, before folders had a format; made in code, file by file.

What stands here is never changed to suit a later version: it is what users have on their disks.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pet.config import ModelRef
from pet.models.model import Classifier
from pet.storage.digests import content_digest
from tests.support import samples

TRAINING = {
    "steps": 150,
    "batch_size": 8,
    "learning_rate": None,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "dropout": 0.0,
    "adam_epsilon": 1e-08,
}
CONFIG: dict[str, Any] = {
    "task": "task.toml", "labeled": "labeled.csv", "pool": "pool.parquet", "out": "runs/news",
    "test": None, "label_column": "label", "text_column": None, "id_column": "id",
    "keep_columns": [], "model": "roberta-large", "model_revision": None, "encoder": None,
    "encoder_revision": None, "student_model": None, "student_revision": None, "device": "cpu",
    "precision": "auto", "preset": "default", "seed": 42, "repetitions": 1, "max_length": 32,
    "weights": "accuracy", "temperature": 2.0, "unlabeled_rows": None, "adapt_steps": 0,
    "lm_weight": 0.0, "calibration": "pool", "generations": "paper", "train_from": 8.0,
    "out_of_bag": 0.25, "growth_factor": 5.0, "growth_goal": 1000, "teacher_share": 0.25,
    "drawn_labels": "soft", "most_likely": 100, "abstain_below": 0.4, "max_rejected": 0.1,
    "shard_rows": 10000, "tokens_per_batch": 512, "adaptation": {**TRAINING, "batch_size": 32},
    "member": TRAINING, "student": {**TRAINING, "steps": 300, "batch_size": 16, "dropout": None},
    "supervised": TRAINING,
}  # fmt: skip
METRICS = {"accuracy": 0.5, "macro_f1": 0.5, "ece": 0.1, "rows": 12}


def write_run_0_1_0(folder: Path, inputs: Path, bert: Path) -> Path:
    """Write the folder of a finished run over the tiny task's pool."""
    folder.mkdir(parents=True)
    pool = inputs / "pool.parquet"
    _write(folder / "config.json", {**CONFIG, "pool": str(pool)})
    (folder / "task.toml").write_text(samples.task_toml(), encoding="utf-8")
    manifest = {
        "run_id": "0123456789ab",
        "inputs": {"pool": content_digest([pool])},
        "made_with": {"pet": "0.1.0"},
        "stages": {},
    }
    _write(folder / "manifest.json", manifest)
    _write_student(folder / "student", bert)
    rows = _write_labels(folder / "labels", pool)
    _write(
        folder / "report.json",
        {
            "task": "tiny_news",
            "run": "news",
            "pool": {"rows": 40, "rejected": 3},
            "labels": {"rows": rows, "counts": {"sport": rows, "space": 0, "business": 0}},
            "labeled": {"student": METRICS},
            "warnings": [],
            "generations": [],
            "weighing": "accuracy",
            "weights": {"g0-category-r0": 1.0},
        },
    )
    return folder


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _write_student(folder: Path, bert: Path) -> None:
    """Weights, tokenizer, configuration, card and done.json: no pet.json yet."""
    student = Classifier.fresh(ModelRef(str(bert)), samples.LABELS, torch.device("cpu"), 0)
    student.tokenizer.model_max_length = 32
    student.save(folder)
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}
    _write(folder / "done.json", {"fingerprint": "f" * 64, "files": files, "seconds": 1.0})
    (folder / "README.md").write_text("# tiny_news\n\nWhat is the news about?\n")


def _write_labels(folder: Path, pool: Path) -> int:
    """One file, with the columns of 0.1.0."""
    folder.mkdir()
    texts = pq.read_table(pool)["text"].to_pylist()
    ids = [f"{pool.name}:{row}" for row, text in enumerate(texts) if text and text.strip()]
    shares = [pa.array([share] * len(ids), pa.float32()) for share in (0.5, 0.3, 0.2)]
    table = pa.table(
        {
            "id": ids,
            "label": ["sport"] * len(ids),
            "confidence": shares[0],
            "probabilities": pa.StructArray.from_arrays(shares, names=list(samples.LABELS)),
            "entropy": shares[0],
            "agreement": shares[0],
            "abstain": [False] * len(ids),
        }
    )
    pq.write_table(table.replace_schema_metadata({"source": "s"}), folder / "part-00000.parquet")
    _write(folder / ".done.json", {"source": "s", "shards": 1, "rows": len(texts)})
    return len(ids)
