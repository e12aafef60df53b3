"""A run of many labels with one row each: quotas of one row, words of two tokens, the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.pipeline import label_pool
from pet.reporting.report_tables import LARGEST_MATRIX
from tests.support import samples
from tests.support.shared import Shared

FIRST = ("sport", "space", "business", "money", "game", "ball")
SECOND = ("team", "goal", "match", "rocket", "moon", "bank", "market")
LABELS = [f"{one} {other}" for one in FIRST for other in SECOND]


def write_many(folder: Path) -> None:
    """Write a task of 42 labels, with one labeled row and two pool rows of each."""
    folder.mkdir(parents=True, exist_ok=True)
    words = "".join(f'"{label}" = "{label}"\n' for label in LABELS)
    task = samples.task_toml(["last"])
    head, patterns = task.split("[labels]")[0], task.split("[patterns]")[1]
    (folder / "task.toml").write_text(f"{head}[labels]\n{words}\n[patterns]{patterns}")
    header = ("text", "label")
    samples.write_csv(folder / "labeled.csv", [(f"the {own} today", own) for own in LABELS], header)
    tests = [(f"it is about the {own}", own) for own in LABELS]
    samples.write_csv(folder / "test.csv", tests, header)
    pool = [f"the {own} {more}" for own in LABELS for more in ("is new", "was big")]
    samples.write_pool(folder / "pool.parquet", pool)


@pytest.fixture(scope="module")
def many_inputs(shared: Shared) -> Path:
    return shared.folder("many", write_many)


def test_a_generation_draws_a_row_of_each_label_that_has_one(
    many_inputs: Path, config_for: Callable[..., Any], tmp_path: Path
) -> None:
    config = config_for(
        inputs=many_inputs, generations=1, growth_factor=1.5, abstain_below=0.1, **samples.SHIPPED
    )
    report = label_pool(config)
    assert len(LABELS) > LARGEST_MATRIX
    assert sum(report["labels"]["counts"].values()) == report["labels"]["rows"] == 2 * len(LABELS)
    first, second = (stage["rows"] for stage in report["generations"])
    assert first < second <= 3 * first, "at least one row is drawn for a label, and few more"
    assert "Confused labels" in (tmp_path / "news" / "report.html").read_text()
