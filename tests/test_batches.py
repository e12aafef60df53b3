"""Rows of a pool: which can be used, and under what id."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pet.data.pool import RejectedRow, open_pool
from tests.files import parquet, write
from tests.pools import everything, pool_of


def test_rejected_rows_count_as_raw_rows_so_that_batches_stay_in_place(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", text=["a", None, " ", "d", "e"])
    batches = list(pool_of(tmp_path / "a.parquet").batches(2))
    assert [batch.ids for batch in batches] == [["a.parquet:0"], ["a.parquet:3"], ["a.parquet:4"]]
    assert [batch.rows.tolist() for batch in batches] == [[0], [3], [4]]
    assert batches[0].rejected == [RejectedRow("a.parquet", 1, "no text")]
    assert batches[1].rejected == [RejectedRow("a.parquet", 2, "empty text")]


def test_ids_without_an_id_column_name_file_and_row(tmp_path: Path) -> None:
    write(tmp_path / "2026" / "a.csv", "text\na\nb\n")
    write(tmp_path / "z.csv", "text\nc\n")
    ids, texts, _ = everything(pool_of(tmp_path))
    assert ids == ["2026/a.csv:0", "2026/a.csv:1", "z.csv:0"]
    assert texts == ["a", "b", "c"]


def test_whole_number_ids_come_out_as_text_the_same_from_every_format(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", id=[7, 8], text=["a", "b"])
    write(tmp_path / "a.csv", "id,text\n7,a\n8,b\n")
    write(tmp_path / "a.jsonl", '{"id": 7, "text": "a"}\n{"id": "8", "text": "b"}\n')
    for suffix in ("parquet", "csv", "jsonl"):
        assert everything(pool_of(tmp_path / f"a.{suffix}"))[0] == ["7", "8"]


def test_a_row_without_an_id_gets_no_invented_one(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", id=pa.array([1, None, 3]), text=["a", "b", "c"])
    write(tmp_path / "b.csv", "id,text\n,a\nx,b\n")
    ids, _, rejected = everything(pool_of(tmp_path))
    assert ids == ["1", "3", "x"]
    assert rejected == [RejectedRow("a.parquet", 1, "no id"), RejectedRow("b.csv", 0, "no id")]


def test_undecodable_parquet_rows_are_set_aside_singly(tmp_path: Path) -> None:
    texts = pa.array([b"ok", b"\xff", b"\xed\xa0\x80", None, b"\x00", b"caf\xc3\xa9"])
    for kind in (pa.binary(), pa.string()):
        column = texts if kind == pa.binary() else texts.view(pa.string())
        path = parquet(tmp_path / "a.parquet", text=column)
        _, found, rejected = everything(pool_of(path))
        assert found == ["ok", "\0", "café"]
        assert [(row.row, row.reason) for row in rejected] == [
            (1, "not valid UTF-8"), (2, "not valid UTF-8"), (3, "no text")
        ]  # fmt: skip


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_every_way_of_storing_text_is_text(tmp_path: Path, kind: pa.DataType) -> None:
    path = parquet(tmp_path / "a.parquet", text=pa.array(["a", None, "b"]).cast(kind))
    assert everything(pool_of(path))[1] == ["a", "b"]


def test_a_column_to_keep_may_be_stored_as_views(tmp_path: Path) -> None:
    """They can be neither filtered nor joined: the run ended when its labels were written."""
    views = pa.array(["x", "y"]).cast(pa.string_view())
    path = parquet(tmp_path / "a.parquet", text=["a", ""], more=views)
    [batch] = open_pool(path, ["text"]).batches(keep_columns=["more"])
    assert batch.kept is not None
    assert batch.kept["more"].to_pylist() == ["x"]


def test_a_column_of_nothing_but_nulls_rejects_every_row(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=pa.nulls(2))
    assert [row.reason for row in everything(pool_of(path))[2]] == ["no text", "no text"]


def test_a_row_needs_one_text_and_no_null_among_its_fields(tmp_path: Path) -> None:
    parquet(
        tmp_path / "a.parquet",
        head=["h", "", "h", " ", "h"],
        body=["b", "b", None, "\t\u00a0", ""],
    )
    [batch] = open_pool(tmp_path / "a.parquet", ["head", "body"]).batches()
    assert batch.columns == {"head": ["h", "", "h"], "body": ["b", "b", ""]}
    assert [(row.row, row.reason) for row in batch.rejected] == [(2, "no text"), (3, "empty text")]


def test_kept_columns_stay_beside_their_rows(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", text=["a", None, "c"], n=pa.array([1, 2, 3], pa.int32()))
    parquet(tmp_path / "b.parquet", text=["d"], n=pa.array([4], pa.int64()))
    [batch] = pool_of(tmp_path).batches(keep_columns=["n", "text"])
    assert batch.kept is not None
    assert batch.kept.to_pydict() == {"n": [1, 3, 4], "text": ["a", "c", "d"]}
    assert batch.kept.schema.field("n").type == pa.int64()


def test_kept_columns_of_csv_and_jsonl_are_text_whatever_they_hold(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,more\na,1\nb,caf\xe9\n")
    write(tmp_path / "b.jsonl", '{"text": "c", "more": {"x": [1]}}\n{"text": "d"}\n')
    [batch] = pool_of(tmp_path).batches(keep_columns=["more"])
    assert batch.kept is not None
    assert batch.kept["more"].to_pylist() == ["1", None, '{"x": [1]}', None]
