"""A certificate travels with the labels, and goes when they are made anew."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.certifying.certificates import take_certificate
from pet.certifying.identity import look_at
from pet.certifying.ledger import answers_of, read_draws
from pet.certifying.shares import draw_for_shares, estimate
from pet.ensemble.logits import stored_fingerprint
from pet.errors import InputError
from pet.finished.comparison import compare_labels
from pet.finished.exports import export_run
from pet.finished.finished_run import open_run
from pet.progress import SILENT
from pet.reviewing.review_rows import sample_labels
from pet.storage.files import read_parquet, write_parquet
from tests.pet.certifying.conftest import Drawer, as_predicted, write
from tests.support.run_files import label_rows


def drawn_ids(run: Path) -> list[str]:
    return list(answers_of(read_draws(run)))


def test_labels_and_card_say_what_is_certified_and_stay_up_to_date(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    parts = sorted((run_copy / "labels").glob("part-*.parquet"))
    before = [stored_fingerprint(path) for path in parts]
    answers = write(tmp_path / "a.csv", as_predicted(drawn()))
    for _ in range(2):  # the same answers again change nothing
        found = take_certificate(run_copy, answers, SILENT)
    certified, people = 0, set(drawn_ids(run_copy))
    for path in parts:
        table = read_parquet(path)
        for row in table.to_pylist():
            kept = row["confidence"] >= found["threshold"]
            certified += kept
            assert row["certified"] == (kept or row["id"] in people)
        stored = json.loads(pq.read_metadata(path).metadata[b"certificate"])
        assert stored["draw"] == found["draw"]
    assert certified == found["certified_rows"]
    assert [stored_fingerprint(path) for path in parts] == before
    card = (run_copy / "student" / "README.md").read_text()
    assert card.count("## Certificate") == 1
    assert "at most 40 % of the" in card
    open_run(run_copy)


def test_what_people_answered_is_the_label_and_voids_nothing(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    before, identity = label_rows(run_copy / "labels"), look_at(open_run(run_copy)).identity
    draw = drawn()
    given = as_predicted(draw, wrong=3)
    found = take_certificate(run_copy, write(tmp_path / "a.csv", given), SILENT)
    answers = answers_of(read_draws(run_copy))
    for row, old in zip(label_rows(run_copy / "labels"), before, strict=True):
        label = answers.get(row["id"])
        assert row["label"] == (label or old["label"])
        assert row["source"] == ("person" if label else old["source"])
        assert row["predicted"] == (old["label"] if label else None)
        assert row["confidence"] == old["confidence"]
    assert look_at(open_run(run_copy)).identity == identity
    again = take_certificate(run_copy, tmp_path / "a.csv", SILENT)
    assert again == found  # the date, too: nothing is new
    assert drawn("second", error=0.45, answers=22).record["identity"] == identity


def test_answers_correct_labels_where_nothing_is_certified(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    answers = as_predicted(drawn(), wrong=20)
    found = take_certificate(run_copy, write(tmp_path / "a.csv", answers), SILENT)
    assert found["threshold"] is None
    rows = label_rows(run_copy / "labels")
    assert {row["id"] for row in rows if row["certified"]} == set(drawn_ids(run_copy))
    assert sum(row["source"] == "person" for row in rows) == 20


def test_answers_about_shares_are_labels_too_and_shares_count_predictions(
    run_copy: Path, tmp_path: Path
) -> None:
    draw = draw_for_shares(run_copy, tmp_path / "out.csv", 25, SILENT)
    answers = write(tmp_path / "a.csv", as_predicted(draw, wrong=5))
    first = estimate(run_copy, answers, SILENT)
    assert sum(row["source"] == "person" for row in label_rows(run_copy / "labels")) == 25
    assert estimate(run_copy, answers, SILENT) == first


def test_a_label_changed_by_hand_is_no_answer(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    """Else labels of drawn rows could be set right one by one, and the draw stay valid."""
    answers = write(tmp_path / "a.csv", as_predicted(drawn()))
    take_certificate(run_copy, answers, SILENT)
    part = next((run_copy / "labels").glob("part-*.parquet"))
    table = read_parquet(part)
    columns = {
        "label": ["sport"] * len(table),
        "source": ["person"] * len(table),
        "predicted": table["label"].to_pylist(),
    }
    for name, values in columns.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, pa.string()))
    write_parquet(part, table, {})
    with pytest.raises(InputError, match="other labels"):
        take_certificate(run_copy, answers, SILENT)


def test_answers_travel_into_exports_and_are_not_asked_for_again(
    drawn: Drawer, run_copy: Path, tmp_path: Path, tiny_run: Path
) -> None:
    answers = write(tmp_path / "a.csv", as_predicted(drawn(), wrong=3))
    take_certificate(run_copy, answers, SILENT)
    export_run(run_copy, "datasets", tmp_path / "out")
    exported = [
        row
        for path in sorted((tmp_path / "out" / "data").iterdir())
        for row in pq.read_table(path).to_pylist()
    ]
    assert sum(row["source"] == "person" for row in exported) == 20
    assert "but for 20 not checked by" in (tmp_path / "out" / "README.md").read_text()
    export_run(run_copy, "datasets", tmp_path / "student", who="student")
    card = tmp_path / "student" / "README.md"
    assert ", not checked by" in card.read_text()
    compared = compare_labels(tiny_run, run_copy)
    assert (compared["changed"], compared["after"]["people"]) == (3, 20)
    asked = sample_labels(open_run(run_copy), 0, SILENT, 100).ids
    assert not set(asked) & set(drawn_ids(run_copy))
    assert len(asked) == 17
