"""Rows of a pool: which can be used, and under what id."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.data.pool import open_pool
from pet.data.rejections import RejectedRow
from pet.errors import InputError, PetError
from tests.support.files import parquet, write
from tests.support.pools import everything, pool_of


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
            (1, "not valid UTF-8"),
            (2, "not valid UTF-8"),
            (3, "no text"),
        ]


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


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_a_null_beside_a_text_is_an_empty_field_in_every_format(
    tmp_path: Path, suffix: str
) -> None:
    """CSV labeled the row, Parquet and JSON Lines set it aside."""
    rows = {
        "head": ["h", "", "h", " ", "h", None],
        "body": ["b", "b", None, "\t\u00a0", "", None],
    }
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        parquet(path, **rows)
    elif suffix == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pairs = zip(*rows.values(), strict=True)
        write(path, "\n".join(json.dumps({"head": h, "body": b}) for h, b in pairs))
    [batch] = open_pool(path, ["head", "body"]).batches()
    assert batch.columns == {"head": ["h", "", "h", "h"], "body": ["b", "b", "", ""]}
    reasons = ["empty text", "empty text" if suffix == "csv" else "no text"]
    assert [(row.row, row.reason) for row in batch.rejected] == list(
        zip((3, 5), reasons, strict=True)
    )


def test_a_gap_that_python_wrote_as_nan_is_no_number_among_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"head": "h", "body": NaN}\n{"head": NaN, "body": NaN}\n')
    [batch] = open_pool(path, ["head", "body"]).batches()
    assert batch.columns == {"head": ["h"], "body": [""]}
    assert batch.rejected == [RejectedRow("a.jsonl", 1, "no text")]


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


@pytest.mark.parametrize("rows", [1, 3, 7, 10, 100])
def test_batches_do_not_depend_on_files_or_row_groups(tmp_path: Path, rows: int) -> None:
    texts = [f"text {number}" for number in range(23)]
    pq.write_table(pa.table({"text": texts[:11]}), tmp_path / "a.parquet", row_group_size=2)
    write(tmp_path / "b.csv", "text\n" + "\n".join(texts[11:12]))
    write(tmp_path / "c.csv", "text\n")
    write(tmp_path / "d.jsonl", "\n".join(json.dumps({"text": text}) for text in texts[12:]))
    pool = pool_of(tmp_path)
    batches = list(pool.batches(rows))
    assert [batch.columns["text"] for batch in batches] == [
        texts[start : start + rows] for start in range(0, 23, rows)
    ]
    assert np.concatenate([batch.rows for batch in batches]).tolist() == list(range(23))
    assert pool.count_rows() == 23
    assert [path.name for path in pool.files] == ["a.parquet", "b.csv", "c.csv", "d.jsonl"]


def test_kept_columns_whose_types_do_not_meet_are_named(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", text=["a"], n=[1])
    parquet(tmp_path / "b.parquet", text=["a"], n=["one"])
    with pytest.raises(InputError, match="one type for the column 'n'"):
        pool_of(tmp_path).batches(keep_columns=["n"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.array([1_540_000_000_000_000_001]), pa.array([1.0, None])),  # as pandas writes a gap
        (pa.array([2**63], pa.uint64()), pa.array([1], pa.int64())),
        (pa.array([32_503_680_000_000], pa.timestamp("ms")), pa.array([0], pa.timestamp("ns"))),
    ],
    ids=["integers and floats", "without and with a sign", "times"],
)
def test_values_that_no_type_of_a_kept_column_holds_are_named_by_file(
    tmp_path: Path, first: pa.Array, second: pa.Array
) -> None:
    """It was Arrow's own error, after all models had been trained."""
    parquet(tmp_path / "a.parquet", text=["a"] * len(first), n=first)
    parquet(tmp_path / "b.parquet", text=["a"] * len(second), n=second)
    with pytest.raises(InputError, match=r"a\.parquet\n +expected: values of the column 'n'"):
        list(pool_of(tmp_path).batches(keep_columns=["n"]))


def test_a_pool_that_changes_between_two_passes_fails_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\na\n")
    pool = pool_of(path)
    write(path, "text\na\nb\n")
    with pytest.raises(PetError, match="changed since the start"):
        list(pool.batches())


def test_many_small_files_are_read_one_at_a_time(tmp_path: Path) -> None:
    for number in range(2000):
        write(tmp_path / f"{number:04}.jsonl", f'{{"text": "t{number}"}}\n')
    _, texts, rejected = everything(pool_of(tmp_path), rows=300)
    assert texts == [f"t{number}" for number in range(2000)]
    assert rejected == []


@pytest.mark.parametrize("first", [0, 1, 2, 4, 9])
def test_a_pool_read_from_the_middle_has_the_rows_it_has_when_read_from_the_start(
    tmp_path: Path, first: int
) -> None:
    texts = [f"text {number}" for number in range(23)]
    pq.write_table(pa.table({"text": texts[:3]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": texts[3:17]}), tmp_path / "b.parquet", row_group_size=4)
    lines = "\n".join(["text", *texts[17:20], "", *texts[20:]])
    (tmp_path / "c.csv").write_text(f"{lines}\n")
    pool = open_pool(tmp_path, ["text"])
    whole, part = list(pool.batches(3)), list(pool.batches(3, first=first))
    assert [(b.ids, b.columns, b.rows.tolist()) for b in part] == [
        (b.ids, b.columns, b.rows.tolist()) for b in whole[first:]
    ]
    assert len(part) == max(0, 8 - first)


def test_ids_and_kept_columns_may_first_stand_far_down(tmp_path: Path) -> None:
    lines = ['{"text": "a"}'] * 30 + ['{"text": "b", "id": "x", "lang": "de"}']
    path = write(tmp_path / "a.jsonl", "\n".join(lines))
    pool = pool_of(path, keep_columns=["lang"])
    [batch] = pool.batches(keep_columns=["lang"])
    assert batch.kept is not None
    assert (batch.ids, batch.kept["lang"].to_pylist()) == (["x"], ["de"])
    assert {row.reason for row in batch.rejected} == {"no id"}
    assert pool.count_rows() == 31


def test_what_former_versions_did_not_read_can_be_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "text\na\n")
    write(tmp_path / "b.tsv", "text\nb\n")
    pool = pool_of(tmp_path)
    assert everything(pool)[1] == ["a", "b"]
    assert everything(pool.as_formerly())[1] == ["a"]


def test_a_text_of_invisible_characters_alone_is_set_aside(tmp_path: Path) -> None:
    texts = pa.table({"text": ["\u200b\ufeff", "the team won", "\u2800\u00a0"]})
    pq.write_table(texts, tmp_path / "a.parquet")
    (batch,) = open_pool(tmp_path, ["text"]).batches()
    assert batch.columns["text"] == ["the team won"]
    assert [row.row for row in batch.rejected] == [0, 2]
    assert {row.reason for row in batch.rejected} == {"empty text"}
