"""How many rows get which label, to the row: a silent change of behaviour changes a count.

Scores come from the texts' tokens by whole numbers instead of from a model, so that the counts are
the same on every processor. All else is a real run: rows left out, calibration, weights,
generations, soft labels, thresholds. Where a change of behaviour is meant, the counts are replaced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pet.ensemble.logits import read_logits
from pet.models.cloze_model import ClozeModel
from pet.models.model import Classifier
from pet.pipeline import label_pool
from pet.settings import make_config
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.tickets import SAMPLE, TASK

STEPS = 13  # of a score: more would make few rows alike
PRIMES = (7919, 104_729, 1_299_709)


def stubbed(model: Any, encoder: Any, texts: Any, rows: Any) -> torch.Tensor:
    """Score rows by sums of whole numbers over their tokens. [rows, labels], float32"""
    salt = len(encoder.ending) + 5 * isinstance(model, Classifier)
    labels = np.arange(model.output_width(encoder))
    scores = np.zeros((len(rows), len(labels)), dtype=np.float32)
    for slot in texts.values():
        for place, row in enumerate(rows):
            ids = slot[row].astype(np.int64)[:, None]
            each = (ids * PRIMES[0] + (labels + 1) * PRIMES[1] + salt * PRIMES[2]) % STEPS
            scores[place] += each.sum(axis=0) / 4
    return torch.from_numpy(scores)


@pytest.fixture(autouse=True)
def stubbed_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Score by whole numbers; training goes on as it is, and changes nothing."""
    for kind in (ClozeModel, Classifier):

        def outputs(
            self: Any, encoder: Any, texts: Any, rows: Any, real: Callable[..., Any] = kind.outputs
        ) -> torch.Tensor:
            if torch.is_inference_mode_enabled():
                return stubbed(self, encoder, texts, rows)
            return real(self, encoder, texts, rows)

        monkeypatch.setattr(kind, "outputs", outputs)


def counted(report: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Count a run's labels, rows that abstain, rows that were rejected, and soft labels."""
    soft: Counter[int] = Counter()
    for path in sorted((folder / "soft_labels").glob("part-*.parquet")):
        soft.update(read_logits(path)[1].argmax(axis=1).tolist())
    labels = report["labels"]
    return {
        "labels": labels["counts"],
        "abstained": labels["abstained"],
        "soft labels": [soft[place] for place in range(len(labels["counts"]))],
    }


@pytest.fixture
def tickets(tmp_path: Path, model_folder: ModelFolder) -> Callable[..., Any]:
    """Make a run of the sample tickets: `tickets(generations=1)`."""

    def run(**changes: Any) -> dict[str, Any]:
        (tmp_path / "tickets.toml").write_text(TASK)
        values = {
            **samples.TINY,
            "task": str(tmp_path / "tickets.toml"),
            **{name: str(SAMPLE / f"tickets-{name}.csv") for name in ("labeled", "pool", "test")},
            "model": str(model_folder("roberta")),
            "out": str(tmp_path / "run"),
            **changes,
        }
        return counted(label_pool(make_config(values)), tmp_path / "run")

    return run


@pytest.fixture
def news(config_for: Callable[..., Any]) -> Callable[..., Any]:
    """Make a run of the tiny news: `news(generations=1)`."""

    def run(**changes: Any) -> dict[str, Any]:
        config = config_for(**changes)
        return counted(label_pool(config), Path(config.out))

    return run


GROWN: dict[str, Any] = {"generations": 1, "growth_factor": 2, "train_from": 8, **samples.SHIPPED}


TICKETS = {"billing": 19, "delivery": 12, "technical": 29}
NEWS = {"sport": 4, "space": 26, "business": 7}


# The student's scores are those of its texts, whatever it has learned; soft labels are not.
@pytest.mark.parametrize(("changes", "soft"), [({}, [14, 10, 36]), (GROWN, [18, 23, 19])])
def test_counts_of_the_sample_tickets(
    tickets: Callable[..., Any], changes: dict[str, Any], soft: list[int]
) -> None:
    assert tickets(**changes) == {"labels": TICKETS, "abstained": 0, "soft labels": soft}


@pytest.mark.parametrize(("changes", "soft"), [({}, [2, 3, 32]), (GROWN, [7, 10, 20])])
def test_counts_of_the_tiny_news(
    news: Callable[..., Any], changes: dict[str, Any], soft: list[int]
) -> None:
    assert news(**changes) == {"labels": NEWS, "abstained": 1, "soft labels": soft}
