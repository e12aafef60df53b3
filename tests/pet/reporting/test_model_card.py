"""The model card: figures with their spread, and no text of the user's read as markup."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.escaping import as_markdown
from pet.inputs.reading import open_session
from pet.method.metrics import wilson_interval
from pet.reporting.model_card import model_card
from pet.storage.files import read_json
from tests.support import samples


def test_the_card_of_a_run_names_data_figures_and_limits(shipped_run: Path) -> None:
    card = (shipped_run / "student" / "README.md").read_text(encoding="utf-8")
    report = read_json(shipped_run / "report.json")
    student, shares = report["test"]["student"], report["labels"]
    low, high = wilson_interval(student["accuracy"], 9)
    assert f"accuracy {student['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f})" in card
    assert "On 9 test rows" in card
    assert f"| space | 4 | {shares['counts']['space'] / shares['rows']:.1%} |" in card
    assert "cut to 32 tokens" in card
    assert "mixed with out-of-fold predictions of a linear classifier" in card
    assert f"labeled rows alone: accuracy {report['test']['supervised']['accuracy']:.3f}" in card


def test_a_card_travels_and_names_no_folder_of_the_machine(tiny_run: Path) -> None:
    config = read_json(tiny_run / "config.json")
    card = (tiny_run / "student" / "README.md").read_text(encoding="utf-8")
    assert str(Path(config["model"]).parent) not in card
    assert "Teacher: bert." in card
    assert "base_model" not in card


def test_the_texts_of_a_task_are_escaped(
    config_for: Callable[..., Any], tiny_run: Path, tmp_path: Path
) -> None:
    evil = "<b>x</b> | [y](z)"
    toml = samples.task_toml().replace("What is the news about?", evil)
    (tmp_path / "task.toml").write_text(toml.replace("business = ", f'"{evil}" = '))
    labeled = samples.write_csv(
        tmp_path / "l.csv", [("a text", "sport"), ("another", evil)], ("text", "label")
    )
    config = config_for(task=str(tmp_path / "task.toml"), labeled=str(labeled), test=None)
    report = read_json(tiny_run / "report.json")
    report["labels"]["counts"][evil] = 0
    card = model_card(open_session(config), report)
    assert evil not in card
    assert "<b>" not in card
    assert as_markdown(evil) in card


def test_without_known_labels_the_card_claims_nothing(
    config_for: Callable[..., Any], tiny_run: Path
) -> None:
    report = read_json(tiny_run / "report.json")
    del report["test"], report["labeled"]
    assert "its accuracy is not known" in model_card(open_session(config_for(labeled=None)), report)


@pytest.mark.parametrize(
    ("share", "rows", "low", "high"),
    [(0.5, 100, 0.404, 0.596), (1.0, 10, 0.722, 1.0), (0.0, 10, 0.0, 0.278)],
)
def test_intervals_are_wilsons(share: float, rows: int, low: float, high: float) -> None:
    """By hand; no interval of a perfect score is empty."""
    assert wilson_interval(share, rows) == pytest.approx((low, high), abs=1e-3)
