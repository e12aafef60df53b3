"""Columns that files lack, and what may be in them."""

from __future__ import annotations

import uuid
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from pet.data.data_files import CsvFormat
from pet.data.pool import open_pool
from pet.errors import InputError
from tests.support.files import parquet, write
from tests.support.pools import everything, pool_of


def test_ids_that_are_uuids_are_written_as_everybody_writes_them(tmp_path: Path) -> None:
    own = uuid.uuid4()
    ids = pa.array([own.bytes], pa.uuid())
    path = parquet(tmp_path / "a.parquet", id=ids, text=pa.array(["a"]))
    [batch] = open_pool(path, ["text"]).batches()
    assert batch.ids == [str(own)]


@pytest.mark.parametrize(
    ("ids", "written"),
    [
        (pa.array([Decimal(0), Decimal(12)], pa.decimal128(38, 0)), ["0", "12"]),
        (pa.array([Decimal("0.10"), Decimal(2)], pa.decimal128(38, 2)), ["0.10", "2.00"]),
        (
            pa.array([0, 86_400_000_001], pa.timestamp("us")),
            ["1970-01-01 00:00:00.000000", "1970-01-02 00:00:00.000001"],
        ),
        (
            pa.array([0, 1], pa.timestamp("ms", "UTC")),
            ["1970-01-01 00:00:00.000Z", "1970-01-01 00:00:00.001Z"],
        ),
        (pa.array([0, 1], pa.date32()), ["1970-01-01", "1970-01-02"]),
        (pa.array([True, False]), ["True", "False"]),
        (
            pa.array([b"\x00" * 16, b"0123456789abcdef"], pa.binary(16)),
            ["00" * 16, "30313233343536373839616263646566"],
        ),
        (pa.array([b"a-1", b"\xff\x00"]), ["a-1", "ff00"]),
        (pa.array([Decimal(7), Decimal(8)], pa.decimal128(38, 0)).dictionary_encode(), ["7", "8"]),
    ],
    ids=str,
)
def test_ids_of_other_types_are_taken_by_their_text_form(
    tmp_path: Path, ids: pa.Array, written: list[str]
) -> None:
    """Warehouses have ids that are numeric(38,0), times, or binary(16): all rows were refused."""
    path = parquet(tmp_path / "a.parquet", id=ids, text=pa.array(["a", "b"]))
    assert everything(pool_of(path))[0] == written


def test_ids_can_be_switched_off(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", id=[1.5, 1.5], text=["a", "b"])
    assert everything(pool_of(path, id_column=None))[0] == ["a.parquet:0", "a.parquet:1"]


def test_nobody_is_told_to_name_the_column_that_has_that_name(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", id=[[1], [2]], text=["a", "b"])
    with pytest.raises(InputError, match=r"name another column with .*id_column=null"):
        pool_of(path)
    path = parquet(tmp_path / "b.parquet", text=[1, 2])
    with pytest.raises(InputError, match="name another column with --text-column"):
        pool_of(path)


def test_ids_that_became_floats_are_refused_not_printed_as_1_0(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", id=[1.0, 2.0], text=["a", "b"])
    with pytest.raises(InputError, match=r"'id' of ids\n +found: +values of type double"):
        pool_of(path)


def test_a_wrong_column_name_says_which_there_are_and_which_was_meant(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", Text=["a"], body=["b"])
    with pytest.raises(InputError, match=r"'Text', 'body'\n.*did you mean 'Text'\?.*--text-column"):
        pool_of(path)
    assert everything(pool_of(path, columns={"text": "body"}))[1] == ["b"]


def test_a_csv_file_with_semicolons_is_explained(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id;text\n1;a\n")
    with pytest.raises(InputError, match=r"with commas, or add --set pool_csv\.delimiter=';'"):
        pool_of(path)
    assert everything(pool_of(path, written=CsvFormat(delimiter=";")))[:2] == (["1"], ["a"])


def test_numbers_are_not_taken_for_text(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=[1, 2])
    with pytest.raises(InputError, match="values of type int64"):
        pool_of(path)


def test_a_column_that_occurs_twice_is_not_chosen_by_chance(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 columns of that name"):
        pool_of(write(tmp_path / "a.csv", "text,text\na,b\n"))


def test_one_file_of_many_without_the_column_is_named(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", text=["a"])
    parquet(tmp_path / "b.parquet", body=["b"])
    with pytest.raises(InputError, match=r"b\.parquet\n.*'text'") as caught:
        pool_of(tmp_path)
    assert "a.parquet" not in str(caught.value)


def test_ids_in_some_files_only_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", id=["1"], text=["a"])
    parquet(tmp_path / "b.parquet", text=["b"])
    with pytest.raises(InputError, match=r"b\.parquet\n.*'id' of ids"):
        pool_of(tmp_path)


def test_an_id_column_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'key' of ids"):
        pool_of(parquet(tmp_path / "a.parquet", text=["a"]), id_column="key")


def test_a_column_to_keep_that_is_not_there_stops_before_the_first_batch(tmp_path: Path) -> None:
    pool = pool_of(parquet(tmp_path / "a.parquet", text=["a"], url=["u"]))
    with pytest.raises(InputError, match=r"'urls' to keep(.|\n)*did you mean 'url'"):
        pool.batches(keep_columns=["urls"])
