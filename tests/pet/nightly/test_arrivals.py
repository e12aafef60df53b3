"""A pool's changes: by content, and never of a file that is being written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pet.nightly import arrivals
from pet.nightly.arrivals import Arrivals, scan_pool
from pet.progress import SILENT
from pet.storage.files import read_record
from tests.support.files import write


def seen(tmp_path: Path, settle: float = 0, sleep=lambda seconds: None) -> Arrivals:
    return scan_pool(tmp_path / "pool", tmp_path / "memory.json", settle, SILENT, sleep)


def test_a_file_that_goes_on_growing_is_left_for_the_next_night(tmp_path: Path) -> None:
    """Half a file would be labeled, and its other half never noticed as new."""
    path = write(tmp_path / "pool" / "a.csv", "text\nx\n")
    write(tmp_path / "pool" / "b.csv", "text\nx\n")

    def go_on_writing(seconds: float) -> None:
        assert seconds == 30
        path.write_text("text\nx\ny\n")

    found = seen(tmp_path, settle=30, sleep=go_on_writing)
    assert (found.late, list(found.present)) == (["a.csv"], ["b.csv"])


def test_what_has_not_changed_is_not_hashed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "pool" / "a.csv", "text\nx\n")
    digest = seen(tmp_path).present["a.csv"].digest
    monkeypatch.setattr(arrivals, "pool_file_digest", lambda path: pytest.fail("hashed again"))
    assert seen(tmp_path).present["a.csv"].digest == digest


def test_another_content_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    """A copy that keeps its time stamp: what size and time of modification alone would miss."""
    path = write(tmp_path / "pool" / "a.csv", "text\nx\n")
    first = seen(tmp_path).present["a.csv"]
    before = path.stat()
    path.write_text("text\ny\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert seen(tmp_path).present["a.csv"].digest != first.digest


def test_a_file_too_young_is_not_remembered(tmp_path: Path) -> None:
    """A second write within one tick of the clock would carry the same stamp."""
    write(tmp_path / "pool" / "a.csv", "text\nx\n")
    assert list(seen(tmp_path, settle=30).present) == ["a.csv"]
    assert read_record(tmp_path / "memory.json") == {}


def test_a_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    write(tmp_path / "pool" / "a.csv", "text\nx\n")
    digest = seen(tmp_path).present["a.csv"].digest
    for damage in ("{", "[]", '{"a.csv": 3}', '{"a.csv": [1, 2, 3, 4, "wrong"]}'):
        (tmp_path / "memory.json").write_text(damage)
        assert seen(tmp_path).present["a.csv"].digest == digest
