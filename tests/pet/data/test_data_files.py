"""Which data files there are at a path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pet.data.readers import open_sources
from pet.errors import InputError
from tests.support.files import parquet, write


def test_a_path_with_nothing_there_is_named_with_what_stands_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "text\na\n")
    with pytest.raises(InputError, match=r"nothing there(.|\n)*holds train\.csv"):
        open_sources(tmp_path / "trian.csv")
    with pytest.raises(InputError, match="does not exist either"):
        open_sources(tmp_path / "no" / "trian.csv")


def test_a_folder_without_data_says_what_it_holds_instead(tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", "hello")
    write(tmp_path / "_part.parquet", "unfinished")
    with pytest.raises(InputError, match=r"found: +notes\.txt"):
        open_sources(tmp_path)


def test_a_file_of_another_kind_is_not_guessed_at(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.parquet, \.csv or \.jsonl"):
        open_sources(write(tmp_path / "a.xlsx", "x"))


def test_files_that_others_are_still_writing_are_left_alone(tmp_path: Path) -> None:
    for name in ("b/a.csv", "a.csv", ".a.csv", "_a.csv", ".tmp-x/a.csv", "_b/a.csv", "notes.md"):
        write(tmp_path / name, "text\nx\n")
    assert [source.name for source in open_sources(tmp_path)] == ["a.csv", "b/a.csv"]


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege elsewhere")
def test_a_linked_folder_is_read_like_a_linked_file_and_a_ring_of_links_ends(
    tmp_path: Path,
) -> None:
    """A pool of links to where the data lies had fewer rows, and nothing said so."""
    parquet(tmp_path / "elsewhere" / "deep" / "b.parquet", text=["b"])
    parquet(tmp_path / "pool" / "a.parquet", text=["a"])
    (tmp_path / "pool" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "pool")
    names = [source.name for source in open_sources(tmp_path / "pool")]
    assert names == ["a.parquet", "linked/deep/b.parquet"]
