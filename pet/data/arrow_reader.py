"""Raw rows out of one Feather or Arrow IPC file, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pet.data.data_files import CHUNK_ROWS, RawRows, Source
from pet.errors import input_error
from pet.storage.object_storage import is_remote, open_binary

FILE, FIRST_VERSION = b"ARROW1", b"FEA1"  # how they begin; a stream of batches has no such mark


def peek_arrow(path: Path) -> tuple[pa.Schema, int | None]:
    with _opened(path, None) as batches:
        return batches.schema, None


def read_arrow(source: Source, texts: Sequence[str], others: Sequence[str]) -> Iterator[RawRows]:
    columns = list(dict.fromkeys([*texts, *others]))
    for batch in _batches(source, columns):
        for start in range(0, len(batch), CHUNK_ROWS):
            piece = batch.slice(start, CHUNK_ROWS)
            yield piece.select(columns), np.full(len(piece), None)


def count_arrow(source: Source) -> int:
    return sum(map(len, _batches(source, source.schema.names[:1])))


def _batches(source: Source, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    places = [place for place, name in enumerate(source.schema.names) if name in columns]
    with _opened(source.path, places) as reader:
        is_file = hasattr(reader, "get_batch")
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
        yield from batches


@contextlib.contextmanager
def _opened(path: Path, places: Sequence[int] | None) -> Iterator[Any]:
    """Open a file or a stream of batches, to read the columns at some places: None: all."""
    with open_binary(path) if is_remote(path) else pa.memory_map(str(path)) as file:
        start = file.read(len(FILE))
        file.seek(0)
        if start.startswith(FIRST_VERSION):
            found, fix = "a Feather file of the first version", "write it again, as Parquet"
            raise input_error(path, "a Feather file of the second version", found, fix)
        options = pa.ipc.IpcReadOptions(included_fields=places)
        open_reader = pa.ipc.open_file if start == FILE else pa.ipc.open_stream
        with open_reader(file, options=options) as reader:
            yield reader
