"""Draws: recorded before the answers, the same again, others for another model."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pet.certifying.certificates import take_certificate
from pet.certifying.drawing import Levels, Request, _levels_of, check_request, draw_rows
from pet.certifying.ledger import DRAW, FOLDER, read_draws
from pet.errors import InputError
from pet.progress import SILENT
from pet.storage.files import read_parquet, read_record, write_json, write_parquet
from pet.storage.units import with_digest
from tests.pet.certifying.conftest import Drawer, as_predicted, write
from tests.support import samples


def test_a_draw_is_recorded_with_all_that_it_depends_on(drawn: Drawer, run_copy: Path) -> None:
    draw = drawn()
    record = read_record(run_copy / FOLDER / "0001" / DRAW)
    assert record == draw.record == with_digest(record)
    assert record["identity"].keys() == {"labels", "model", "pool"}
    assert record["alpha"] == pytest.approx(0.04)
    assert len({row["row"] for row in record["drawn"]}) == len(record["drawn"]) == 20
    assert all(row["level"] <= record["frame"]["last"] for row in record["drawn"])


def test_people_see_no_predicted_label_and_each_text_once(drawn: Drawer, tmp_path: Path) -> None:
    draw = drawn()
    with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["label"] + row["confidence"] + row["answer"] for row in rows} == {""}
    assert [row["id"] for row in rows] == list(dict.fromkeys(draw.record["asked"].values()))
    assert len({row["text"] for row in rows}) == len(rows)


def test_the_same_request_writes_the_same_rows_and_spends_nothing(
    drawn: Drawer, run_copy: Path
) -> None:
    assert drawn("one").record == drawn("two").record
    assert len(read_draws(run_copy)) == 1


def test_a_draw_whose_record_was_removed_comes_out_the_same(drawn: Drawer, run_copy: Path) -> None:
    """Else a draw could be repeated until one passes."""
    first = drawn("one")
    (first.folder / DRAW).unlink()
    first.folder.rmdir()
    assert drawn("two").record["drawn"] == first.record["drawn"]


def test_another_request_is_another_draw_with_less_alpha(drawn: Drawer, run_copy: Path) -> None:
    first, second = drawn("one"), drawn("two", error=0.45, answers=22)
    assert second.number == 2
    assert second.record["before"] == first.record["digest"]
    assert second.record["alpha"] < first.record["alpha"] / 4
    assert second.record["seed"] != first.record["seed"]


def test_labels_of_another_model_are_drawn_from_anew(drawn: Drawer, run_copy: Path) -> None:
    first = drawn("one")
    part = next((run_copy / "labels").glob("part-*.parquet"))
    table = read_parquet(part)
    other = pa.array(np.full(len(table), 0.5), pa.float32())
    place = table.column_names.index("confidence")
    write_parquet(part, table.set_column(place, "confidence", other), {})
    second = drawn("two")
    assert second.number == 2
    assert second.record["identity"]["labels"] != first.record["identity"]["labels"]


def test_a_column_that_a_certificate_adds_voids_nothing(drawn: Drawer, run_copy: Path) -> None:
    drawn("one")
    part = next((run_copy / "labels").glob("part-*.parquet"))
    table = read_parquet(part)
    write_parquet(part, table.append_column("certified", pa.array([True] * len(table))), {})
    assert drawn("two").number == 1


def test_two_rows_with_one_id_cannot_be_asked_for(run_copy: Path, tmp_path: Path) -> None:
    for part in (run_copy / "labels").glob("part-*.parquet"):
        table = read_parquet(part)
        ids = pa.array([f"pool.parquet:{n % 3}" for n in range(len(table))], pa.string())
        write_parquet(part, table.set_column(0, "id", ids), {})
    with pytest.raises(InputError, match="an id of its own for every row"):
        draw_rows(run_copy, tmp_path / "x.csv", Request(error=0.4, answers=20), SILENT)
    assert not (run_copy / FOLDER).exists()


def test_a_level_holds_the_rows_at_its_threshold() -> None:
    levels = Levels(np.array([0.75, 0.5]), np.array([1, 3]))
    values = np.array([0.75, 0.8, 0.74, 0.5, 0.4], np.float32)
    assert _levels_of(values, levels).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (Request(error=0.0), "--error"),
        (Request(error=0.7), "--error"),
        (Request(confidence=0.5), "--confidence"),
        (Request(confidence=float("nan")), "--confidence"),
        (Request(answers=62), "--answers"),
        (Request(guarantee="all"), "--guarantee"),  # type: ignore[arg-type]
        (Request(precision=1.5), "--precision"),
    ],
)
def test_what_can_never_be_certified_is_refused(request_: Request, name: str) -> None:
    with pytest.raises(InputError) as refused:
        check_request(request_, 1)
    assert [problem.where for problem in refused.value.problems] == [name]


def test_answers_of_earlier_draws_sharpen_the_next_plan(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    first = drawn("one")
    take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(first)), SILENT)
    second = drawn("two", error=0.35, answers=24)
    assert second.record["planned_with"] == first.record["planned_with"] + 20


def test_a_changed_record_is_refused(drawn: Drawer) -> None:
    first = drawn("one")
    write_json(first.folder / DRAW, {**first.record, "alpha": 0.5})
    with pytest.raises(InputError, match="every draw of this run, as it was recorded"):
        drawn("two", answers=22)


def test_a_slip_of_the_finger_does_not_ask_for_the_whole_pool(drawn: Drawer) -> None:
    """Recorded, it would be the latest draw, and answers to the one before would be lost."""
    with pytest.raises(InputError, match=r"at most 37, the labels of the run"):
        drawn(answers=100_000_000)


def test_a_draw_that_takes_the_place_of_an_open_one_is_announced(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    drawn("one")
    listener = samples.Listener()
    draw_rows(run_copy, tmp_path / "two.csv", Request(error=0.45, answers=22), listener)
    assert any("draw 1 has no answers" in line for line in listener.said)
