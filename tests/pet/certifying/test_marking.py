"""A certificate travels with the labels, and goes when they are made anew."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from pet.certifying.certificates import take_certificate
from pet.ensemble.logits import stored_fingerprint
from pet.finished.finished_run import open_run
from pet.progress import SILENT
from pet.storage.files import read_parquet
from tests.pet.certifying.conftest import Drawer, as_predicted, write


def test_labels_and_card_say_what_is_certified_and_stay_up_to_date(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    parts = sorted((run_copy / "labels").glob("part-*.parquet"))
    before = [stored_fingerprint(path) for path in parts]
    answers = write(tmp_path / "a.csv", as_predicted(drawn()))
    for _ in range(2):  # the same answers again change nothing
        found = take_certificate(run_copy, answers, SILENT)
    certified = 0
    for path in parts:
        table = read_parquet(path)
        certified += sum(table["certified"].to_pylist())
        for row in table.to_pylist():
            assert row["certified"] == (row["confidence"] >= found["threshold"])
        stored = json.loads(pq.read_metadata(path).metadata[b"certificate"])
        assert stored["draw"] == found["draw"]
    assert certified == found["certified_rows"]
    assert [stored_fingerprint(path) for path in parts] == before
    card = (run_copy / "student" / "README.md").read_text()
    assert card.count("## Certificate") == 1
    assert "at most 40 % of the" in card
    open_run(run_copy)
