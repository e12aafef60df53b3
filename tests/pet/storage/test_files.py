"""Files that are whole or absent, and Parquet of our own that is read as it was written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pet.errors import PetError
from pet.storage.files import read_parquet, read_parquet_batches, write_parquet

TABLE = pa.table({"id": [f"row-{n}" for n in range(200)], "label": ["sport", "space"] * 100})


def test_a_flipped_bit_in_a_file_of_ours_is_found_wherever_it_is_read(tmp_path: Path) -> None:
    """One of fourteen exported other labels without a word."""
    path = tmp_path / "part.parquet"
    write_parquet(path, TABLE, {})
    whole = path.read_bytes()
    read = differ = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        try:
            names = TABLE.column_names  # a footer, which has no checksum, may name other ones
            batches = read_parquet_batches(path, 64, names)
            tables = [read_parquet(path, names), pa.Table.from_batches(batches)]
        except PetError:
            continue
        read += 1
        differ += sum(table.to_pydict() != TABLE.to_pydict() for table in tables)
    assert read < len(whole) // 7, "no bit was noticed: the test flips none that matter"
    assert not differ


def test_what_was_written_is_read_by_columns_and_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_parquet(path, TABLE, {"fingerprint": "f"})
    assert read_parquet(path, ["label"]).column_names == ["label"]
    batches = list(read_parquet_batches(path, 64, ["id"]))
    assert [len(batch) for batch in batches] == [64, 64, 64, 8]


def test_a_missing_file_is_one_screen(tmp_path: Path) -> None:
    with pytest.raises(PetError, match=r"none\.parquet\n  expected: a file as it was written"):
        read_parquet(tmp_path / "none.parquet")
