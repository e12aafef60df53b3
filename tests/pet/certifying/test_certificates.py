"""Certificates: what answers prove, and every way to get one that they do not prove."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from pet.certifying.certificates import take_certificate
from pet.certifying.ledger import FOLDER
from pet.errors import InputError
from pet.progress import SILENT
from pet.reporting.certificate_file import CERTIFICATE, read_certificate, sentence
from pet.settings import load_config
from pet.storage.files import read_parquet, read_record, write_json, write_parquet
from pet.storage.units import file_digest, with_digest
from tests.pet.certifying.conftest import Drawer, as_predicted, write


def test_right_answers_certify_and_the_certificate_stands_beside_the_labels(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    draw = drawn()
    found = take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(draw)), SILENT)
    assert found["certified_rows"] == draw.record["frame"]["rows"]
    assert (found["drawn"], found["answered"], found["wrong"]) == (20, 20, 0)
    assert read_certificate(run_copy) == read_record(run_copy / CERTIFICATE) == found
    assert "at most 40 % of the" in sentence(found)
    assert "with 95 % confidence" in sentence(found)


def test_wrong_labels_certify_nothing(drawn: Drawer, run_copy: Path, tmp_path: Path) -> None:
    draw = drawn()
    answers = as_predicted(draw, wrong=20)  # all: which rows are drawn hangs on the last bit
    found = take_certificate(run_copy, write(tmp_path / "a.csv", answers), SILENT)
    assert found["threshold"] is None
    assert sentence(found).startswith("Nothing is certified")
    assert not (run_copy / CERTIFICATE).exists()


def test_a_row_without_an_answer_counts_as_wrong(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    answers = as_predicted(drawn())
    few = dict(list(answers.items())[:4])
    found = take_certificate(run_copy, write(tmp_path / "a.csv", few), SILENT)
    assert (found["drawn"], found["answered"]) == (20, 4)
    all_given = take_certificate(run_copy, write(tmp_path / "b.csv", answers), SILENT)
    assert all_given["certified_rows"] > found["certified_rows"]


def test_an_answer_that_is_in_stays(drawn: Drawer, run_copy: Path, tmp_path: Path) -> None:
    """Else answers could be changed until the draw passes."""
    draw = drawn()
    wrong = as_predicted(draw, wrong=12)
    take_certificate(run_copy, write(tmp_path / "a.csv", wrong), SILENT)
    with pytest.raises(InputError, match="the answers that were given to it before"):
        take_certificate(run_copy, write(tmp_path / "b.csv", as_predicted(draw)), SILENT)


def test_answers_to_rows_that_were_not_drawn_are_refused(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    """Answers that were there before the draw prove nothing."""
    draw = drawn()
    others = {f"pool.parquet:{n}" for n in range(40)} - set(draw.record["asked"].values())
    answers = {**as_predicted(draw), **dict.fromkeys(others, "sport")}
    with pytest.raises(InputError, match="ids of the run's pool"):
        take_certificate(run_copy, write(tmp_path / "a.csv", answers), SILENT)


def test_a_later_draw_that_certifies_less_takes_nothing_away(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    first = take_certificate(
        run_copy, write(tmp_path / "a.csv", as_predicted(drawn("one"))), SILENT
    )
    later = as_predicted(drawn("two", answers=21), wrong=21)
    found = take_certificate(run_copy, write(tmp_path / "b.csv", later), SILENT)
    assert found["threshold"] is None
    assert found["stands"] == sentence(first)
    assert read_certificate(run_copy) == first


def test_answers_to_an_earlier_draw_are_called_so(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    answers = as_predicted(drawn("one"))
    later = drawn("two", error=0.45, answers=21)
    if set(answers) <= set(later.record["asked"].values()):
        pytest.skip("the second draw has drawn the rows of the first again")
    with pytest.raises(InputError, match="answers to draw 1"):
        take_certificate(run_copy, write(tmp_path / "a.csv", answers), SILENT)


def test_answers_without_a_draw_are_refused(run_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a draw, recorded before its answers"):
        take_certificate(run_copy, write(tmp_path / "a.csv", {"pool.parquet:1": "sport"}), SILENT)


def test_a_changed_pool_voids_the_draw(drawn: Drawer, run_copy: Path, tmp_path: Path) -> None:
    draw = drawn()
    config = load_config(run_copy / "config.json")
    other = Path(shutil.copy(config.pool, tmp_path / "pool.parquet"))
    table = read_parquet(other)
    texts = pa.array(["a new text", *table["text"].to_pylist()[1:]], pa.string())
    write_parquet(other, table.set_column(0, "text", texts), {})
    write_json(
        run_copy / "config.json", {**read_record(run_copy / "config.json"), "pool": str(other)}
    )
    with pytest.raises(InputError, match="the pool that the run labeled"):
        take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(draw)), SILENT)


def test_changed_labels_void_the_draw(drawn: Drawer, run_copy: Path, tmp_path: Path) -> None:
    """A person who knows the drawn rows could correct these alone."""
    draw = drawn()
    part = next((run_copy / "labels").glob("part-*.parquet"))
    table = read_parquet(part)
    label = pa.array(["sport"] * len(table), pa.string())
    place = table.column_names.index("label")
    write_parquet(part, table.set_column(place, "label", label), {})
    with pytest.raises(InputError, match="void"):
        take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(draw)), SILENT)


def test_a_model_that_may_have_learned_from_the_answers_voids_the_draw(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    draw = drawn()
    student = run_copy / "student"
    config = {**read_record(student / "config.json"), "trained": "again"}
    write_json(student / "config.json", config)
    record = read_record(student / "done.json")
    record["files"]["config.json"] = file_digest(student / "config.json")
    write_json(student / "done.json", with_digest({**record, "digest": None}))
    with pytest.raises(InputError, match="another model"):
        take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(draw)), SILENT)


def test_a_certificate_without_its_draws_is_refused(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    draw = drawn()
    take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(draw)), SILENT)
    shutil.rmtree(run_copy / FOLDER)
    with pytest.raises(InputError, match="one is missing, or was changed"):
        drawn("again")


def test_a_certificate_is_none_for_labels_that_were_made_since(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(drawn())), SILENT)
    done = run_copy / "labels" / ".done.json"
    write_json(done, {**read_record(done), "source": "other"})
    assert read_certificate(run_copy) is None


def test_all_rows_are_certified_with_those_that_people_read(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    draw = drawn(guarantee="whole", error=0.3, answers=30)
    found = take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(draw)), SILENT)
    assert found["threshold"] is not None
    below = found["pool_rows"] - found["certified_rows"]
    assert 0 <= found["to_read"] <= below
    assert "once people have read" in sentence(found)


def test_precision_is_certified_for_each_label_or_the_rows_that_it_needs_are_named(
    drawn: Drawer, run_copy: Path, tmp_path: Path
) -> None:
    draw = drawn(precision=0.55, error=0.45, answers=37)
    found = take_certificate(run_copy, write(tmp_path / "a.csv", as_predicted(draw)), SILENT)
    assert found["alpha"] == pytest.approx(0.02)
    assert found["labels"].keys() == {"sport", "space", "business"}
    for own in found["labels"].values():
        assert (own["threshold"] is None) == (own["rows"] == 0)
        assert own["wrong"] == 0
