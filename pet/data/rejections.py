"""Rows that are set aside, counted by reason: what a person is told, and advised to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pet.data.data_files import Reason
from pet.data.pool import RejectedRow

NAMED = 3  # rows that are named as examples

# Reasons that stand for texts that are missing: a pool may well have some.
MISSING = {Reason.NO_TEXT.value, Reason.EMPTY.value}


class Rejections:
    """Counts rejected rows; memory does not grow with them.

    Attributes:
        reasons: how many rows there are of each.
    """

    def __init__(self, rows: Iterable[RejectedRow] = ()):
        self.reasons: Counter[str] = Counter()
        self._first: list[RejectedRow] = []
        self.add(rows)

    def add(self, rows: Iterable[RejectedRow]) -> None:
        """Count some more."""
        for row in rows:
            self.reasons[row.reason] += 1
            if len(self._first) < NAMED:
                self._first.append(row)

    def __len__(self) -> int:
        return self.reasons.total()

    def __str__(self) -> str:
        counts = ", ".join(f"{reason} ({n:,})" for reason, n in self.reasons.most_common())
        first = ", ".join(f"row {row.row} of {row.file}" for row in self._first)
        return f"{counts}; the first: {first}"

    def fix(self, otherwise: str, allow: str = "") -> str:
        """Advise what to do about them.

        Args:
            otherwise: the advice where nothing better is known.
            allow: how to go on without the rows, where they miss a text only.
        """
        if self.reasons[Reason.UNDECODABLE] > len(self) / 2:
            return (
                "save the file as UTF-8: it is in another encoding, such as Windows-1252, and "
                "every row with an umlaut or an accent would be lost"
            )
        return f"{otherwise}{allow}" if set(self.reasons) <= MISSING else otherwise
