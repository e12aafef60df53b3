"""Confusions on a screen: a matrix that fits, or a line per label."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from flows.screens.confusion import confusion_table

LABELS = [f"comp.group-{number}" for number in range(20)]
COUNTS = np.diag(range(100, 120))
COUNTS[3, :6] = [2, 9, 4, 1005, 1, 7]


def shown(labels: list[str], counts: list[list[int]], **more: list[str]) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(confusion_table(console, labels, counts, "true label", "predicted one", more))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_matrix_that_fits_is_a_matrix() -> None:
    text = shown(["a[b]", "c"], [[7, 1], [2, 1000]], share=["1 %", "99 %"])
    assert "rows: the true label; columns: the predicted one" in " ".join(text.split())
    assert "│ a[b] │    7 │     1 │   1 % │" in text
    assert "│ c    │    2 │ 1,000 │  99 % │" in text


def test_twenty_labels_are_a_line_each_and_nothing_is_cut() -> None:
    text = shown(LABELS, COUNTS.tolist())
    assert "…" not in text
    for label in LABELS:
        assert f"│ {label} " in text
    (line,) = (line for line in text.splitlines() if "1,028" in line)
    assert "│ 1,028 │      98% │" in line
    assert "comp.group-1 9, comp.group-5 7" in line


def test_a_label_without_rows_is_shown_without_a_share() -> None:
    counts = COUNTS.copy()
    counts[0] = 0
    text = shown(LABELS, counts.tolist())
    (line,) = (
        line for line in text.splitlines() if "comp.group-0 " in line and "│     0 │" in line
    )
    assert "%" not in line


def test_further_columns_stand_beside_the_lines_too() -> None:
    shares = [f"{number} %" for number in range(20)]
    text = shown(LABELS, COUNTS.tolist(), **{"share before": shares})
    assert "share before" in text
    assert "17 %" in text
