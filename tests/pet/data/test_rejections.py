"""Rows that are set aside: why, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.data.data_files import Reason
from pet.data.pool import open_pool
from pet.data.rejections import RejectedRow, Rejections


def rejections(*reasons: Reason) -> Rejections:
    rows = enumerate(reasons)
    return Rejections(RejectedRow("pool.csv", row, reason.value) for row, reason in rows)


def test_reasons_are_counted_and_the_first_rows_named() -> None:
    found = rejections(*[Reason.EMPTY] * 3, Reason.NOT_TEXT)
    found.add([RejectedRow("b.csv", 7, Reason.EMPTY.value)])
    assert len(found) == 5
    assert str(found) == (
        "empty text (4), not text (1); the first: "
        "row 0 of pool.csv, row 1 of pool.csv, row 2 of pool.csv"
    )


def test_rows_that_are_not_utf8_are_no_reason_to_allow_more_of_them(tmp_path: Path) -> None:
    """Else every row with an umlaut is lost, and the command ends well."""
    (tmp_path / "a.csv").write_bytes("text\nüber\nball\n".encode("cp1252"))
    [batch] = open_pool(tmp_path / "a.csv", ["text"]).batches()
    found = Rejections(batch.rejected)
    assert len(found) == 1
    fix = found.fix("correct them", allow="; allow more")
    assert "save the file as UTF-8" in fix
    assert "pool_csv.encoding=cp1252" in fix
    assert "allow more" not in fix


@pytest.mark.parametrize(
    ("reasons", "fix"),
    [
        ((Reason.EMPTY, Reason.NO_TEXT), "correct them; allow more"),
        ((Reason.EMPTY, Reason.QUOTES), "correct them"),
        ((Reason.EMPTY, Reason.EMPTY, Reason.UNDECODABLE), "correct them"),
    ],
)
def test_more_may_be_allowed_where_texts_are_missing_and_nothing_else(
    reasons: tuple[Reason, ...], fix: str
) -> None:
    assert rejections(*reasons).fix("correct them", allow="; allow more") == fix
