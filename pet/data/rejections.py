"""Rows that are set aside, counted by reason, with the advice that follows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pet.data.data_files import Reason
from pet.storage.files import read_parquet_batches

NAMED = 3  # rows that are named as examples

KEPT = 10  # first rows that are kept

# Reasons that stand for texts that are missing: a pool may well have some.
MISSING = {Reason.NO_TEXT.value, Reason.EMPTY.value}


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot be used; `row` counts from 0 within the file."""

    file: str
    row: int
    reason: str


class Rejections:
    """Counts rejected rows; memory does not grow with them.

    Attributes:
        reasons: how many rows there are of each.
        first: the first few rows.
    """

    def __init__(self, rows: Iterable[RejectedRow] = ()):
        self.reasons: Counter[str] = Counter()
        self.first: list[RejectedRow] = []
        self.add(rows)

    def add(self, rows: Iterable[RejectedRow]) -> None:
        """Count some more."""
        for row in rows:
            self.reasons[row.reason] += 1
            if len(self.first) < KEPT:
                self.first.append(row)

    def __len__(self) -> int:
        return self.reasons.total()

    def __str__(self) -> str:
        counts = ", ".join(f"{reason} ({n:,})" for reason, n in self.reasons.most_common())
        first = ", ".join(f"row {row.row} of {row.file}" for row in self.first[:NAMED])
        return f"{counts}; the first: {first}"

    def fix(self, otherwise: str, allow: str = "") -> str:
        """Advise what to do about them.

        Args:
            otherwise: the advice where nothing better is known.
            allow: how to go on without the rows, where they miss a text only.
        """
        if self.reasons[Reason.UNDECODABLE] > len(self) / 2:
            named = ""
            if any(re.search(r"(?i)\.[ct]sv\b", row.file) for row in self.first):
                named = ", or name its encoding (--set pool_csv.encoding=cp1252)"
            return (
                f"save the file as UTF-8{named}: it is in another encoding, such as Windows-1252, "
                "and every row with an umlaut or an accent would be lost"
            )
        return f"{otherwise}{allow}" if set(self.reasons) <= MISSING else otherwise


def read_rejected(path: Path) -> Rejections:
    """Count the rows of a file of rejected rows.

    Raises:
        PetError: it is missing or damaged.
    """
    found = Rejections()
    for batch in read_parquet_batches(path, 10_000):
        found.add(RejectedRow(**row) for row in batch.to_pylist())
    return found
