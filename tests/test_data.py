"""Pools: streamed in batches that do not depend on how the files are cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.data.pool import open_pool
from pet.errors import InputError, PetError
from tests.files import parquet, write
from tests.pools import everything, pool_of


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
