"""What Prefect shows of a run: names of the data are no markup there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FIGURES = {"accuracy": 0.75, "macro_f1": 0.5}
LABEL = "<img src=x onerror=alert(1)> | `a` [b](javascript:1)\n# c"


def test_names_stay_in_their_cell_and_markup_stays_out(prefect_home: Path) -> None:
    from flows.runtime.artifacts import _accuracies, _labels

    report: dict[str, Any] = {
        "pool": {"rows": 1, "rejected": 0},
        "labels": {"counts": {LABEL: 1}, "abstained": 0},
        "test": {"patterns": {"a|b": {"zero_shot": FIGURES, "trained": FIGURES}}},
    }
    assert "| test | pattern a\\|b, trained | 0.750 | 0.500 |" in _accuracies(report)
    (row,) = (line for line in _labels(report) if "onerror" in line)
    assert row == (
        "| &lt;img src\\=x onerror\\=alert\\(1\\)&gt; \\| \\`a\\` "
        "\\[b\\]\\(javascript\\:1\\) \\# c | 1 |"
    )


@pytest.mark.parametrize("out_of_fold", [True, False])
def test_models_are_not_shown_by_the_rows_that_taught_them(
    prefect_home: Path, out_of_fold: bool
) -> None:
    """A student's accuracy on its training rows is too high."""
    from flows.runtime.artifacts import _accuracies

    models = dict.fromkeys(("encoder", "supervised", "ensemble", "student"), FIGURES)
    patterns = {"a": {"zero_shot": FIGURES, "trained": FIGURES}}
    shown = _accuracies({"labeled": {"patterns": patterns, "unseen": out_of_fold, **models}})
    wanted = ["| labeled | pattern a, zero-shot | 0.750 | 0.500 |"]
    if out_of_fold:
        wanted.append("| labeled, out of fold | ensemble | 0.750 | 0.500 |")
    assert [line for line in shown[2:] if line] == wanted


def test_a_run_whose_teacher_was_trained_jointly_has_its_artifact(prefect_home: Path) -> None:
    """It has no zero-shot figures: its artifact was a KeyError."""
    from flows.runtime.artifacts import _accuracies

    of_test = {"a": {"trained": FIGURES}}
    shown = _accuracies(
        {"test": {"patterns": of_test}, "labeled": {"patterns": {"a": {}}, "unseen": False}}
    )
    assert [line for line in shown[2:] if line] == ["| test | pattern a, trained | 0.750 | 0.500 |"]
