"""Packed data files: what they may unpack to; gzip, unpacked while it is read."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from pet.errors import InputError, input_error
from pet.storage.object_storage import open_binary, stamp_of

GZIP = (".gz", ".gzip")

# A small file of a few kilobytes may unpack to terabytes: no text is packed that well.
MOST_UNPACKED, MOST_TIMES = 1 << 30, 100


def most_unpacked(path: Path) -> int:
    """Return how many bytes a packed file may unpack to."""
    return max(MOST_UNPACKED, MOST_TIMES * int(stamp_of(path)[0]))


def unpacks_to_too_much(path: Path, most: int, fix: str) -> InputError:
    """Make the error of a file that holds more bytes than it may."""
    expected = f"a file that unpacks to at most {most:,} bytes"
    return input_error(path, expected, "more", fix)


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading, wherever it lies; what ends in .gz or .gzip is unpacked.

    Raises:
        InputError: while it is read: it is no gzip file, is cut off, or unpacks to too much.
    """
    stream = open_binary(path)
    if not path.name.lower().endswith(GZIP):
        return stream
    return cast(BinaryIO, io.BufferedReader(_Unpacked(stream, path), 1 << 20))


class _Unpacked(io.RawIOBase):
    """What a gzip file holds."""

    def __init__(self, stream: BinaryIO, path: Path):
        self._stream, self._path = stream, path
        self._file = gzip.GzipFile(fileobj=stream)
        self._room = most_unpacked(path)

    def readinto(self, buffer: Any) -> int:
        try:
            count = self._file.readinto(buffer)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise input_error(
                self._path, "a whole gzip file", str(error), "write or copy it again"
            ) from error
        self._room -= count
        if self._room < 0:
            most, fix = most_unpacked(self._path), "unpack it, and look at what is in it"
            raise unpacks_to_too_much(self._path, most, fix)
        return count

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._stream.close()
        super().close()
