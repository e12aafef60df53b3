"""`pet estimate`: a table of shares with intervals."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tests.flows.conftest import Pet
from tests.pet.certifying.conftest import write
from tests.pet.nightly.test_weekly_shares import MONDAYS, came, drew


def test_the_answers_to_a_draw_give_a_table_of_shares(pet: Pet, run_copy: Path) -> None:
    drawn = pet("estimate", run_copy, "--answers", 22, "--out", "review.csv")
    assert drawn.exit_code == 0, drawn.output
    assert drawn.stdout.startswith("22 rows drawn of 37")
    record = json.loads(
        pet("estimate", run_copy, "--answers", 22, "--out", "b.csv", "--json").stdout
    )
    asked = record["asked"]
    write(Path("review.csv"), {asked[row["id"]]: row["label"] for row in record["drawn"]})
    taken = pet(*shlex.split(drawn.stdout.splitlines()[-1])[1:])
    assert taken.exit_code == 0, taken.output
    assert "95 % interval" in taken.stdout
    assert "sport" in taken.stdout


def test_ways_that_do_not_go_together_are_refused(pet: Pet, tiny_run: Path) -> None:
    for words in (
        (),
        ("--out", "a.csv", "--confidence", "0.9"),
        ("--answered", "x.csv", "--answers", 30),
        ("--out", "a.csv", "--answers", 0),
    ):
        result = pet("estimate", tiny_run, *words)
        assert result.exit_code == 2, result.output
        assert not (tiny_run / "shares").exists()


def test_a_store_has_shares_by_week(pet: Pet, tmp_path: Path) -> None:
    came(tmp_path / "store", 1, MONDAYS[0], 150, 50)
    came(tmp_path / "store", 2, MONDAYS[1], 180, 20)
    drew(tmp_path / "store", 1, ["sport"] * 8, ["space"] * 8)
    shown = pet("estimate", tmp_path / "store", "--weekly").stdout
    assert "2026-W46 is counted: no rows drawn in 1 of 1 nights" in shown
    assert "90.0% (n)" in shown
    assert " to " in shown
    weeks = json.loads(pet("estimate", tmp_path / "store", "--weekly", "--json").stdout)["weeks"]
    assert [week["drawn"] for week in weeks] == [16, 0]
    assert pet("estimate", tmp_path / "store", "--weekly", "--out", "a.csv").exit_code == 2
    assert pet("estimate", tmp_path, "--weekly").exit_code == 2
