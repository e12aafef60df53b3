"""`pet certify`: rows out, a certificate back, shown wherever the labels are."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pyarrow as pa
import pytest

from pet.storage.files import read_parquet, write_parquet
from tests.flows.conftest import Pet
from tests.pet.certifying.conftest import write


def test_a_draw_names_the_next_step_and_the_certificate_is_shown_with_the_run(
    pet: Pet, run_copy: Path, tmp_path: Path
) -> None:
    drawn = pet("certify", run_copy, "--error", 0.4, "--answers", 20, "--out", "review.csv")
    assert drawn.exit_code == 0, drawn.output
    assert "20 rows drawn" in drawn.stdout
    waiting = pet("runs", "show", run_copy).stdout
    assert "draw 1: 20 rows drawn, 0 answered, to certify at most 40 % wrong" in waiting
    again = pet("certify", run_copy, "--error", 0.4, "--answers", 20, "--out", "b.csv", "--json")
    record = json.loads(again.stdout)
    labels = {row["id"]: row["label"] for row in record["drawn"]}
    with Path("review.csv").open(encoding="utf-8-sig", newline="") as stream:
        answers = {row["id"]: labels[row["id"]] for row in csv.DictReader(stream)}
    write(Path("review.csv"), answers)
    taken = pet(*shlex.split(drawn.stdout.splitlines()[-1])[1:])
    assert taken.exit_code == 0, taken.output
    first = taken.stdout.splitlines()[0]
    assert first.startswith("Certified: at most 40 % of the ")
    words = ("--error", 0.4, "--answers", 20, "--out", "c.csv")
    assert "answered, 0 are left to read" in pet("certify", run_copy, *words).stdout
    shown = pet("runs", "show", run_copy).stdout
    assert first in shown
    assert "draw 1:" not in shown
    page = (run_copy / "report.html").read_text()
    assert first in page
    part = next((run_copy / "labels").glob("part-*.parquet"))
    table = read_parquet(part)
    labels = pa.array(["sport"] * len(table), pa.string())
    place = table.column_names.index("label")
    write_parquet(part, table.set_column(place, "label", labels), {})
    assert "the certificate is void: other labels since" in pet("runs", "show", run_copy).stdout
    assert "All 37 labels together, certified or not: " in page.replace("\n", " ")


@pytest.mark.parametrize(
    "words",
    [
        ("--error", "0.1"),
        ("--out", "a.csv", "--answered", "b.csv"),
        ("--answered", "b.csv", "--answers", "100"),
        ("--out", "a.csv", "--csv", "delimiter=;"),
        ("--out", "a.csv", "--answers", "3"),
        ("--out", "a.txt"),
    ],
)
def test_options_that_do_not_go_together_change_nothing(
    pet: Pet, tiny_run: Path, words: tuple[str, ...]
) -> None:
    result = pet("certify", tiny_run, *words)
    assert result.exit_code == 2, result.output
    assert "expected" in result.stderr
    assert not (tiny_run / "certificates").exists()
