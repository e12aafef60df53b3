"""What `pet check` shows of tasks with many labels, and of words that cost time."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from flows.screens import preview as preview_screen

LABELS = [f"comp.group-{number}" for number in range(20)]
NOTHING_TWICE = dict.fromkeys(("rows", "same", "near", "labeled", "pool_near_labeled"), 0)


def shown(**more: Any) -> str:
    found: dict[str, Any] = {
        "task": "many",
        "labeled": {"rows": 60, "counts": dict.fromkeys(LABELS, 3)},
        "patterns": [],
        "warnings": [],
        "duplicates": NOTHING_TWICE,
        **more,
    }
    console = Console(file=io.StringIO(), width=80)
    preview_screen.show(console, found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_many_labels_are_readable_on_a_narrow_screen() -> None:
    text = shown(
        pool={"rows": 3000, "files": 1},
        zero_shot={"pool_rows": 3000, "pool_shares": dict.fromkeys(LABELS, 0.05)},
    )
    assert "…" not in text
    assert "│ all           │      60 │         3,000 │" in text
    for label in LABELS:
        assert f"│ {label:<13} │       3 │          ~ 5% │" in text


def test_words_of_several_tokens_are_shown_to_cost_passes() -> None:
    pattern = {"name": "topic", "template": "{text} {mask}", "causal": True, "examples": []}
    assert "7 passes" in shown(patterns=[pattern | {"passes": 7}])
    assert "passes" not in shown(patterns=[pattern | {"passes": 1}])


def test_a_model_that_cannot_read_the_texts_stands_first_and_last() -> None:
    lines = shown(unread=["bert: 73% of the tokens are unknown in pool rows"]).splitlines()
    assert lines[0] == "warning: bert: 73% of the tokens are unknown in pool rows"
    assert lines[-1].endswith("see the first line")


def test_of_a_few_rows_counts_are_shown_and_no_shares() -> None:
    by_label = {label: {"rows": 3, "right": 2} for label in LABELS}
    by_label[LABELS[0]] = {"rows": 12, "right": 9}
    zero_shot = {
        "labeled_rows": 1000,
        "pool_rows": 0,
        "accuracy": 0.7,
        "most_frequent": 0.2,
        "by_label": by_label,
    }
    text = shown(labeled={"rows": 5000, "counts": dict.fromkeys(LABELS, 250)}, zero_shot=zero_shot)
    assert "2 of 3" in text
    assert "75%" in text
    assert "70.0 % on 1,000 of 5,000 labeled rows" in text


def test_the_share_of_rows_that_are_cut_is_shown_for_every_role() -> None:
    text = shown(cut={"teacher": {"max_length": 128, "labeled": 0.1, "pool": 0.0}})
    assert "cut at 128 tokens for the teacher: 10% of labeled rows, 0% of pool rows" in text
