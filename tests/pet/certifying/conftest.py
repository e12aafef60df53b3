"""A draw of a tiny run, and what people answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pet.certifying.drawing import Request, draw_rows
from pet.certifying.ledger import RecordedDraw
from pet.progress import SILENT
from tests.support import samples

REQUEST = Request(error=0.4, answers=20)

Drawer = Callable[..., RecordedDraw]


@pytest.fixture
def drawn(run_copy: Path, tmp_path: Path) -> Drawer:
    """Draw: `drawn("first", error=0.3)`."""

    def draw(name: str = "review", **changes: object) -> RecordedDraw:
        request = Request(**{**vars(REQUEST), **changes})  # type: ignore[arg-type]
        return draw_rows(run_copy, tmp_path / f"{name}.csv", request, SILENT)

    return draw


def as_predicted(draw: RecordedDraw, wrong: int = 0) -> dict[str, str]:
    """Answer every row of a draw with its label, but for the first ones."""
    answers: dict[str, str] = {}
    for row in draw.record["drawn"]:
        answers.setdefault(draw.record["asked"][row["id"]], row["label"])
    for id in list(answers)[:wrong]:
        answers[id] = next(label for label in samples.LABELS if label != answers[id])
    return answers


def write(path: Path, answers: Mapping[str, str]) -> Path:
    return samples.write_csv(path, list(answers.items()), ("id", "answer"))
