"""The page of `pet transfer`: complete by itself, and deaf to what stands in the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pet.reporting.transfer_page import MEASURES, draw_transfer, write_transfer
from tests.pet.reporting.test_report_page import EVIL, Page


def found(members: int = 2, **accuracy: Any) -> dict[str, Any]:
    """What `measure_transfer` finds of two runs with so many adapters each."""
    count = 2 * members
    ones = [[1.0] * count for _ in range(count)]
    return {
        "model": EVIL,
        "tuning": "soft-prompt",
        "runs": [
            {"run": f"runs/{EVIL}", "task": f"a $x$ {EVIL}", "measured_on": "test", "rows": 9},
            {"run": "runs/b", "task": "b", "measured_on": "labeled", "rows": 4},
        ],
        "members": [
            {"run": run, "member": f"g0-p{n}-r0"} for run in (0, 1) for n in range(members)
        ],
        "similarity": {
            name: {"members": ones, "runs": [[None, 1.0], [1.0, None]]} for name in MEASURES
        },
        "accuracy": {
            "matrix": [[0.8, 0.5], [0.4, 1.0]],
            "relative": [[1.0, 0.5], [0.5, 1.0]],
            "untrained": [0.3, 0.25],
            "learned": [[False, False], [False, True]],
            **accuracy,
        },
    }


# Of 5 adapters a run, the matrix has too many rows for a number in every cell.
@pytest.mark.charts
@pytest.mark.parametrize("members", [1, 5])
def test_nothing_of_the_data_is_a_tag_and_nothing_is_fetched(members: int) -> None:
    html = draw_transfer(found(members))
    page = Page(html)
    assert page.open == []
    assert "script" not in page.tags
    assert all(link.startswith("#") for link in page.links)
    assert len(page.ids) == len(set(page.ids))
    assert EVIL in page.text
    assert f"2.{members}" in page.text
    assert page.tags.count("svg") == 1 + len(MEASURES)
    assert html == draw_transfer(found(members))


def test_the_best_other_run_is_named_with_what_there_is_without() -> None:
    shares = [[1.0, 0.5], [0.9, 1.0]]
    text = Page(draw_transfer(found(relative=shares, matrix=[[0.8, 0.5], [0.72, 1]]))).text
    assert "adapters of 2 (“\u2068b\u2069”) keep 90.0\u202f% of the accuracy" in text
    assert "72.0\u202f%. Without any adapter it is 30.0\u202f%" in text
    nothing = [[None, None], [None, None]]
    assert "nothing to compare with" in Page(draw_transfer(found(relative=nothing))).text


def test_a_loss_against_no_adapter_is_never_the_best_transfer() -> None:
    """A pair that keeps the largest share of its accuracy may be the one that is hurt."""
    shares, matrix = [[1.0, 0.95], [0.6, 1.0]], [[0.8, 0.7], [0.48, 0.74]]
    helped = found(relative=shares, matrix=matrix, untrained=[0.3, 0.72])
    assert "adapters of 2 (“\u2068b\u2069”) keep 60.0" in Page(draw_transfer(helped)).text
    hurt = found(relative=shares, matrix=matrix, untrained=[0.5, 0.72])
    text = Page(draw_transfer(hurt)).text
    assert "No transfer: adapters of another run are nowhere better than none" in text
    assert "Best transfer" not in text


def test_accuracy_on_training_rows_is_marked() -> None:
    assert ", on training rows" in Page(draw_transfer(found())).text
    held_out = [[False, False], [False, False]]
    assert "training rows" not in Page(draw_transfer(found(learned=held_out))).text


def test_a_measure_that_does_not_apply_has_no_chart() -> None:
    own = found()
    del own["similarity"]["cosine_average"]
    page = Page(draw_transfer(own))
    assert page.tags.count("svg") == len(MEASURES)
    assert MEASURES["cosine_average"][0] not in page.text


def test_page_and_figures_are_written_side_by_side(tmp_path: Path) -> None:
    path = write_transfer(found(), tmp_path / "new" / "folder")
    assert path.read_text() == draw_transfer(found())
    assert json.loads((path.parent / "transfer.json").read_text()) == found()
