"""Data files of tests: written, and read back as raw rows, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pet.data.data_files import UNSTATED, CsvFormat
from pet.data.readers import open_sources, read_chunks


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def read(path: Path, column: str = "text", written: CsvFormat = UNSTATED) -> list[str | None]:
    [source] = open_sources(path, written)
    return [
        fault or value
        for chunk in read_chunks(source, [column], [])
        for value, fault in zip(chunk.table.column(column).to_pylist(), chunk.faults, strict=True)
    ]
