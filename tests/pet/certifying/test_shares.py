"""Shares of labels from a draw of the whole pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.certifying.ledger import FOLDER, SHARES, read_draws
from pet.certifying.shares import draw_for_shares, estimate
from pet.errors import InputError
from pet.progress import SILENT
from tests.pet.certifying.conftest import as_predicted, write


def test_shares_come_from_rows_of_the_whole_pool_and_spend_no_alpha(
    run_copy: Path, tmp_path: Path
) -> None:
    draw = draw_for_shares(run_copy, tmp_path / "out.csv", 25, SILENT)
    assert len(draw.record["drawn"]) == 25 < draw.record["pool_rows"] == 37
    assert not (run_copy / FOLDER).exists()
    answers = as_predicted(draw)
    found = estimate(run_copy, write(tmp_path / "a.csv", answers), SILENT)
    assert sum(own["predicted"] for own in found["shares"].values()) == pytest.approx(1)
    for own in found["shares"].values():
        assert 0 <= own["low"] <= own["estimate"] <= own["high"] <= 1
        assert own["low"] <= own["predicted"] <= own["high"]


def test_a_row_without_an_answer_is_no_row_to_leave_out(run_copy: Path, tmp_path: Path) -> None:
    """People leave out what is hard to label: the rest is not a random draw."""
    answers = as_predicted(draw_for_shares(run_copy, tmp_path / "out.csv", 25, SILENT))
    few = write(tmp_path / "a.csv", dict(list(answers.items())[3:]))
    with pytest.raises(InputError, match="an answer for every drawn row"):
        estimate(run_copy, few, SILENT)
    assert len(read_draws(run_copy, SHARES)[0].answers) == len(answers) - 3


def test_too_few_rows_are_refused(run_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 20"):
        draw_for_shares(run_copy, tmp_path / "out.csv", 5, SILENT)


def test_more_rows_than_there_are_are_refused(run_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at most 37"):
        draw_for_shares(run_copy, tmp_path / "out.csv", 38, SILENT)
