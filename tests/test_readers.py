"""Raw rows of Parquet files, and files that are called what they are not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pet.data.readers import open_sources
from pet.errors import InputError
from pet.storage.files import write_parquet
from tests.files import read, write


def test_a_parquet_file_cut_in_half_is_named_not_half_read(tmp_path: Path) -> None:
    texts = pa.table({"text": [f"text {number}" for number in range(1000)]})
    write_parquet(tmp_path / "whole.parquet", texts, {})
    content = (tmp_path / "whole.parquet").read_bytes()
    write(tmp_path / "half.parquet", content[: len(content) // 2])
    with pytest.raises(InputError, match=r"half\.parquet\n(.|\n)*cut off") as caught:
        open_sources(tmp_path)
    assert "whole.parquet" not in str(caught.value)


def test_a_csv_file_that_is_called_parquet_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a whole Parquet file"):
        open_sources(write(tmp_path / "a.parquet", "text\nhello world\n"))


def test_a_column_whose_name_begins_another_does_not_bring_it_along(tmp_path: Path) -> None:
    table = pa.table({"text.en": ["en"], "text": ["t"], "text_2": ["2"]})
    write_parquet(tmp_path / "a.parquet", table, {})
    assert read(tmp_path / "a.parquet") == ["t"]
    assert read(tmp_path / "a.parquet", "text.en") == ["en"]
