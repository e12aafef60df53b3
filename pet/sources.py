"""One data file, its rows, and why a row is set aside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pet.object_storage import Stamp

CHUNK_ROWS = 8192  # rows that a reader holds at a time

RawRows = tuple[pa.RecordBatch, NDArray[np.object_]]  # columns, and what is wrong per row


class Reason(StrEnum):
    """Why a row is set aside."""

    NO_TEXT = "no text"  # null, or the key is missing
    EMPTY = "empty text"  # nothing, or nothing but whitespace, in every field
    NOT_TEXT = "not text"  # a number, a list... where text should be
    UNDECODABLE = "not valid UTF-8"  # broken bytes, or half of a surrogate pair
    NOT_JSON = "not a JSON object"
    RAGGED = "wrong number of columns"
    QUOTES = "lines held together by a wrong quote"
    NO_ID = "no id"
    NO_LABEL = "no label"


@dataclass(frozen=True)
class Source:
    """One data file as it was when it was opened.

    Attributes:
        name: path relative to the pool, with forward slashes; the file's name for a single file.
        schema: columns; in CSV and JSONL, all are strings.
        rows: number of rows where the file says it (Parquet).
        path: on a disk, or on object storage: see `pet.object_storage`.
        stamp: size, and time of the last change or ETag.
    """

    path: Path
    name: str
    schema: pa.Schema
    rows: int | None
    stamp: Stamp

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()
