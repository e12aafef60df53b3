"""`pet estimate`: a table of shares with intervals."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tests.flows.conftest import Pet
from tests.pet.certifying.conftest import write


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
