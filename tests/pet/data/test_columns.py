"""Columns that files lack, and what may be in them."""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa
import pytest

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
    with pytest.raises(InputError, match="commas between the columns"):
        pool_of(write(tmp_path / "a.csv", "id;text\n1;a\n"))


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
