"""Raw rows out of one Parquet, CSV or JSONL file; a row that cannot be read costs itself alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pet.errors import first_line, input_error
from pet.object_storage import is_remote, open_binary
from pet.sources import CHUNK_ROWS, RawRows, Source
from pet.text_readers import peek_csv, peek_jsonl, read_csv, read_jsonl


def peek(path: Path) -> tuple[pa.Schema, int | None]:
    """Read what columns a file has, and how many rows where it says so.

    Raises:
        InputError: the file is broken, or has no columns.
    """
    peeks = {".csv": peek_csv, ".jsonl": peek_jsonl, ".parquet": _peek_parquet}
    return peeks[path.suffix.lower()](path)


def _peek_parquet(path: Path) -> tuple[pa.Schema, int | None]:
    try:
        with open_binary(path) as stream, pq.ParquetFile(stream) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise input_error(
            path,
            "a whole Parquet file",
            f"a file that is cut off, or something else ({first_line(error)})",
            "write or copy it again",
        ) from error


def read_rows(
    source: Source, texts: Sequence[str], others: Sequence[str], skip: int = 0
) -> Iterator[RawRows]:
    """Stream some columns of a file, with the reason why a row could not be read.

    Args:
        source: the file.
        texts: columns that must hold text.
        others: columns that may hold anything (in JSONL, lists and objects come as JSON).
        skip: row groups to leave unread (Parquet).
    """
    if source.suffix == ".parquet":
        return _read_parquet(source, texts, others, skip)
    assert not skip, "only Parquet has row groups"
    readers = {".csv": read_csv, ".jsonl": read_jsonl}
    return readers[source.suffix](source, texts, others)


def group_starts(path: Path) -> list[int]:
    """Return the first row of each of a Parquet file's row groups."""
    with open_binary(path) as stream:
        footer = pq.read_metadata(stream)
    sizes = (footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return list(accumulate(sizes, initial=0))[:-1]


def _read_parquet(
    source: Source, texts: Sequence[str], others: Sequence[str], skip: int
) -> Iterator[RawRows]:
    columns = list(dict.fromkeys([*texts, *others]))
    # Buffered, memory does not grow with a row group: 90 MB for one of 900 MB, instead of 950.
    with (
        _opened_parquet(source.path) as stream,
        pq.ParquetFile(
            stream, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True
        ) as file,
    ):
        groups = range(skip, file.num_row_groups)
        for table in file.iter_batches(CHUNK_ROWS, groups, columns=columns):
            yield table.select(columns), np.full(len(table), None)


def _opened_parquet(path: Path) -> contextlib.AbstractContextManager[Any]:
    """Leave a file on a disk to Arrow, which reads it without Python in between."""
    return open_binary(path) if is_remote(path) else contextlib.nullcontext(path)
