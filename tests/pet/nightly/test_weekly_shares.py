"""Shares by week: estimates where every row could be drawn and was answered, else named counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.nightly.error_watch import WATCH
from pet.nightly.ledger import Entry, FileRecord, write_entry
from pet.nightly.weekly_shares import weekly_shares
from pet.storage.files import write_json
from tests.support import samples

MONDAYS = ("2026-11-02", "2026-11-09")


def came(store: Path, number: int, day: str, sport: int, space: int) -> None:
    counts = {"sport": sport, "space": space}
    file = FileRecord(digest="d", rows=sport + space, rejected=0, counts=counts, abstained=0)
    started = f"{day}T02:00:00+00:00"
    entry = Entry(number=number, started=started, seconds=1, model=1, labeled={f"{number}": file})
    write_entry(store, entry)


def drew(store: Path, night: int, kept: list[str], below: list[str]) -> None:
    """Draw rows of which the model claims `sport` with 0.9, or below the threshold with 0.6."""

    def stratum(rows: int, drawn: list[str], claim: float) -> dict[str, Any]:
        claims = {"sport": claim, "space": 1 - claim}
        found = {"rows": rows, "drawn": len(drawn), "claims": claims}
        return {**found, "of_drawn": [claims] * len(drawn)}

    strata = {"kept": stratum(160, kept, 0.9), "below": stratum(40, below, 0.6)}
    rows = [{"file": "f", "id": f"{n}", "label": "sport"} for n in range(len(kept + below))]
    write_json(
        store / WATCH / f"{night:04d}.json", {"night": night, "strata": strata, "rows": rows}
    )
    lines = [(f"f:{n}", label) for n, label in enumerate(kept + below)]
    samples.write_csv(store / WATCH / f"{night:04d}.csv", lines, ("id", "answer"))


def test_a_share_weighs_both_sides_of_the_threshold_by_their_rows(tmp_path: Path) -> None:
    came(tmp_path, 1, MONDAYS[0], 200, 0)
    drew(tmp_path, 1, ["sport"] * 9 + ["space"], ["space"] * 10)
    [week] = weekly_shares(tmp_path)
    assert (week["week"], week["rows"], week["drawn"], week["reason"]) == ("2026-W45", 200, 20, "")
    sport = week["shares"]["sport"]
    assert sport["counted"] == 1.0
    assert sport["estimate"] == pytest.approx(0.8 * 0.9, abs=0.1)
    assert sport["low"] < sport["estimate"] < sport["high"] < 1
    assert week["shares"]["space"]["counted"] == 0


@pytest.mark.parametrize(
    ("kept", "below", "reason"),
    [
        (["sport"] * 12, [], "none drawn on one side of the threshold in 1 of 1 nights"),
        (["sport"] * 12, ["space", ""], "drawn rows without an answer in 1 of 1 nights"),
        (["sport"], ["space"], "2 drawn rows are too few"),
        (None, [], "no rows drawn in 1 of 1 nights"),
    ],
)
def test_a_week_that_lacks_drawn_rows_is_counted_and_says_why(
    tmp_path: Path, kept: list[str] | None, below: list[str], reason: str
) -> None:
    """Rows that could not be drawn may have another share, and so may those that are left out."""
    came(tmp_path, 1, MONDAYS[0], 150, 50)
    if kept is not None:
        drew(tmp_path, 1, kept, below)
    [week] = weekly_shares(tmp_path)
    assert week["reason"] == reason
    assert week["shares"] == {"sport": {"counted": 0.75}, "space": {"counted": 0.25}}


def test_weeks_follow_each_other(tmp_path: Path) -> None:
    came(tmp_path, 1, MONDAYS[0], 10, 30)
    came(tmp_path, 2, MONDAYS[1], 20, 20)
    assert [week["week"] for week in weekly_shares(tmp_path)] == ["2026-W45", "2026-W46"]
    assert [week["shares"]["sport"]["counted"] for week in weekly_shares(tmp_path)] == [0.25, 0.5]


def test_what_is_no_store_and_answers_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a store of nightly labels"):
        weekly_shares(tmp_path)
    came(tmp_path, 1, MONDAYS[0], 10, 30)
    drew(tmp_path, 1, ["spot"] * 6, ["space"] * 6)
    with pytest.raises(InputError, match="labels of the task: sport, space"):
        weekly_shares(tmp_path)
