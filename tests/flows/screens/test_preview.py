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
    assert "│ all           │      60 │          3,000 │" in text
    for label in LABELS:
        assert f"│ {label:<13} │       3 │           ~ 5% │" in text


def test_words_of_several_tokens_are_shown_to_cost_passes() -> None:
    pattern = {"name": "topic", "template": "{text} {mask}", "causal": True, "examples": []}
    assert "7 passes" in shown(patterns=[pattern | {"passes": 7}])
    assert "passes" not in shown(patterns=[pattern | {"passes": 1}])
