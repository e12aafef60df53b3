"""What Prefect shows of a run: names of the data are no markup there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FIGURES = {"accuracy": 0.75, "macro_f1": 0.5}
LABEL = "<img src=x onerror=alert(1)> | `a` [b](javascript:1)\n# c"


def test_names_stay_in_their_cell_and_markup_stays_out(prefect_home: Path) -> None:
    from flows.artifacts import _accuracies, _labels

    report: dict[str, Any] = {
        "pool": {"rows": 1, "rejected": 0},
        "labels": {"counts": {LABEL: 1}, "abstained": 0},
        "labeled": {"patterns": {"a|b": {"zero_shot": FIGURES, "trained": FIGURES}}},
    }
    assert "| labeled | pattern a\\|b, trained | 0.750 | 0.500 |" in _accuracies(report)
    (row,) = (line for line in _labels(report) if "onerror" in line)
    assert row == (
        "| &lt;img src\\=x onerror\\=alert\\(1\\)&gt; \\| \\`a\\` "
        "\\[b\\]\\(javascript\\:1\\) \\# c | 1 |"
    )
