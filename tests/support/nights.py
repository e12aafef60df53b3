"""Pools that texts arrive in, and the settings of nights over them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pet.nightly.ledger import ModelRecord
from pet.nightly.nightly_config import NightlyConfig, make_nightly_config
from tests.support import samples


def arrive(pool: Path, name: str, rows: int, first: int = 0, text: str = "") -> Path:
    """Put a file of texts into the pool."""
    texts = [text or t for t in samples.pool_texts() if t and t.strip()]
    path = pool / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [(f"{Path(name).stem}-{n}", texts[n % len(texts)]) for n in range(first, first + rows)]
    return samples.write_csv(path, lines, ("id", "text"))


def night_settings(place: Path, first_run: Path, labeled: Path, **changes: Any) -> NightlyConfig:
    """Settings of quick nights: pool, store and labeled set lie in `place`."""
    if not (place / "labeled.csv").exists():  # the first settings in this place
        (place / "pool").mkdir(exist_ok=True)
        shutil.copy(labeled, place / "labeled.csv")
    values = {
        "run": str(first_run),
        "pool": str(place / "pool"),
        "out": str(place / "store"),
        "labeled": str(place / "labeled.csv"),
        "settle_seconds": 0,
        "retrain_on_drift": False,
        "drift": {"rows": 20},
    }
    return make_nightly_config({**values, **changes}, "test")


def model_record(**changes: Any) -> ModelRecord:
    """Return a model of a ledger, with what a test says of it."""
    known: dict[str, Any] = {
        "version": 1,
        "run": "r",
        "made_from": "m",
        "predictor": "student",
        "labeled_rows": 1,
        "labeled_digest": None,
        "code": {},
        "reason": "x",
    }
    return ModelRecord(**{**known, **changes})
