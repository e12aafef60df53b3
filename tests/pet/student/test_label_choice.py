"""Who labels the rows that the members scored: the ensemble only where it is clearly better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.ensemble.weights import Predicted
from pet.inputs.reading import open_session
from pet.student import label_choice
from pet.student.label_choice import LabelChoice, choose_labels
from tests.support.lineups import planned

Configure = Callable[..., Any]


@pytest.fixture
def choose(
    config_for: Configure, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., LabelChoice]:
    """Choose where the ensemble is right as often as is said: `choose(ensemble=1.0)`."""

    def run(ensemble: float, student: float, unseen: bool = True, **changes: Any) -> LabelChoice:
        session = open_session(config_for(out=tiny_run, **changes))

        def right(share: float, rows: int, truth: np.ndarray) -> np.ndarray:
            wrong = (truth + 1) % 3
            return np.eye(3)[np.where(np.arange(rows) < share * rows, truth, wrong)]

        def predict(*_: Any) -> Predicted:
            table = session.inputs.measured()[_[3]]
            rows = len(table)
            return Predicted(np.arange(rows), right(ensemble, rows, table.labels), unseen)

        def read(path: Path) -> tuple[list[str], np.ndarray]:
            table = session.inputs.measured()[path.stem.removeprefix("student-")]
            return table.ids, right(student, len(table), table.labels)

        monkeypatch.setattr(label_choice, "predict_measured", predict)
        monkeypatch.setattr(label_choice, "read_logits", read)
        lineup = planned(session)
        return choose_labels(session, lineup, lineup.first)

    return run


def test_the_ensemble_labels_where_it_is_better_on_the_test_rows(
    choose: Callable[..., LabelChoice],
) -> None:
    assert choose(ensemble=1.0, student=0.0) == LabelChoice("ensemble", "accuracy", "test")


def test_the_student_labels_where_nothing_speaks_for_the_ensemble(
    choose: Callable[..., LabelChoice],
) -> None:
    assert choose(ensemble=1.0, student=0.9) == LabelChoice("student", None, "test")
    assert choose(ensemble=0.0, student=1.0) == LabelChoice("student", None, "test")


def test_without_a_test_set_labeled_rows_decide_if_they_were_held_out(
    choose: Callable[..., LabelChoice],
) -> None:
    """On rows that it was trained on, the ensemble is always right."""
    found = choose(ensemble=1.0, student=0.0, test=None)
    assert found == LabelChoice("ensemble", "accuracy", "labeled")
    assert choose(ensemble=1.0, student=0.0, test=None, unseen=False) == LabelChoice()


def test_without_any_known_label_the_student_labels(config_for: Configure, tiny_run: Path) -> None:
    session = open_session(config_for(out=tiny_run, test=None, labeled=None))
    lineup = planned(open_session(config_for(out=tiny_run)))
    assert choose_labels(session, lineup, lineup.first) == LabelChoice()
