"""Files named by what is in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pet.errors import PetError
from pet.storage.digests import content_digest
from tests.support.files import write


def test_a_digest_depends_on_content_and_names_not_on_place_or_order(tmp_path: Path) -> None:
    for root in ("here", "there"):
        write(tmp_path / root / "a.csv", "1")
        write(tmp_path / root / "sub" / "b.csv", "2")
    here, there = (
        [tmp_path / root / name for name in ("a.csv", "sub/b.csv")] for root in ("here", "there")
    )
    digest = content_digest(here)
    assert digest == content_digest(there) == content_digest(here[::-1])
    os.utime(here[0], (0, 0))
    assert content_digest(here) == digest
    write(here[0], "2")
    write(here[1], "1")
    assert content_digest(here) != digest
    assert content_digest(there[:1]) != digest


def test_a_digest_of_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(PetError, match=r"gone\.csv\n  expected: a file that can be read"):
        content_digest([tmp_path / "gone.csv"])


def test_the_only_subfolder_belongs_to_the_names_as_it_does_to_row_ids(tmp_path: Path) -> None:
    """Renamed, all was up to date, under ids that no file has any more."""
    first = write(tmp_path / "pool" / "monday" / "a.csv", "1")
    before = content_digest([first], root=tmp_path / "pool")
    second = first.parent.rename(tmp_path / "pool" / "tuesday") / "a.csv"
    assert content_digest([second], root=tmp_path / "pool") != before
    (tmp_path / "pool").rename(tmp_path / "elsewhere")
    moved = tmp_path / "elsewhere" / "tuesday" / "a.csv"
    assert content_digest([moved], root=moved.parent.parent) != before
    moved.parent.rename(tmp_path / "elsewhere" / "monday")
    moved = tmp_path / "elsewhere" / "monday" / "a.csv"
    assert content_digest([moved], root=moved.parent.parent) == before


def test_a_single_file_has_the_same_name_wherever_it_lies(tmp_path: Path) -> None:
    here, there = (write(tmp_path / name / "a.csv", "1") for name in ("here", "there"))
    assert content_digest([here], root=here) == content_digest([there], root=there)
