"""Ids that stand several times in a pool of any size, found in bounded memory."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable

WATCHED = 50_000


class RepeatedIds:
    """Watches the ids whose checksum is small, at most `WATCHED` of them (Gibbons 2001).

    Of a pool with fewer ids that is every one; of a larger one a sample by id, in which an id that
    repeats is there with all of its rows.
    """

    def __init__(self, watched: int = WATCHED):
        self._watched = watched
        self._bound = 1 << 32
        self._rows = Counter[str]()

    def offer(self, ids: Iterable[str]) -> None:
        self._rows.update(id for id in ids if _checksum(id) < self._bound)
        while len(self._rows) > self._watched:
            self._bound //= 2
            for id in [id for id in self._rows if _checksum(id) >= self._bound]:
                del self._rows[id]

    @property
    def share(self) -> float:
        """The share of the rows whose id stands on an earlier row, too; 0 where there are none."""
        rows = self._rows.total()
        return (rows - len(self._rows)) / rows if rows else 0.0

    @property
    def warning(self) -> str:
        """State what repeated ids lead to; empty where none is."""
        if not self.share:
            return ""
        return (
            f"the ids of about {self.share:.1%} of the pool's rows stand on earlier rows, too: "
            "their labels cannot be joined by id, and pet review and pet diff leave them out"
        )


def _checksum(id: str) -> int:
    return zlib.crc32(id.encode())
