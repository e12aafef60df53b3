"""Which data files there are at a path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pet.data.data_files import list_files, partition_of, passed_over_warnings
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
    with pytest.raises(InputError, match=r"ends in \.parquet, \.csv, (.|\n)*read_excel.*a\.csv"):
        open_sources(write(tmp_path / "a.xlsx", "x"))
    with pytest.raises(InputError, match=r"zstd -d '.*/a b\.csv\.zst'"):
        open_sources(write(tmp_path / "a b.csv.zst", "x"))


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


def test_every_file_that_is_passed_over_is_named_with_what_converts_it(tmp_path: Path) -> None:
    """A folder of several kinds lost most of its rows in silence."""
    for name in ("a.csv", "b/x.xlsx", "c.jsonl.zst", "notes.md", "_SUCCESS", ".a.csv.crc"):
        write(tmp_path / name, "text\nx\n")
    found = list_files(tmp_path)
    assert [path.name for path in found.files] == ["a.csv"]
    assert list(found.passed_over) == ["b/x.xlsx", "c.jsonl.zst", "notes.md"]
    excel, packed, other = passed_over_warnings("pool", found.passed_over)
    assert "b/x.xlsx is not read" in excel
    assert "read_excel" in excel
    assert packed.endswith(f"zstd -d {tmp_path}/c.jsonl.zst")
    assert other == "pool: not read, since of another kind: notes.md"


def test_a_million_other_files_are_no_screen_of_a_million_lines() -> None:
    names = {f"{number}.jpg": "" for number in range(1000)}
    [line] = passed_over_warnings("pool", names)
    assert line.endswith("and 980 more")
    lines = passed_over_warnings("pool", dict.fromkeys(names, "convert"))
    assert len(lines) == 21


def test_a_folder_that_datasets_saved_is_converted_by_one_line(tmp_path: Path) -> None:
    for name in ("dataset_info.json", "state.json", "data-00000-of-00001.arrow"):
        write(tmp_path / "saved" / "train" / name, "{}")
    write(tmp_path / "saved" / "dataset_dict.json", "{}")
    parquet(tmp_path / "a.parquet", text=["a"])
    found = list_files(tmp_path)
    assert [path.name for path in found.files] == ["a.parquet"]
    [(name, line)] = found.passed_over.items()
    assert name == "saved/train/"
    assert line.endswith(f"{tmp_path}/saved/train {tmp_path}/saved/train.parquet")
    with pytest.raises(InputError, match="load_from_disk"):
        open_sources(tmp_path / "saved" / "train")


def test_columns_in_folder_names_are_read_as_hive_and_spark_write_them() -> None:
    assert partition_of("lang=de/day=2024-01-01%2F2/part-0.parquet") == {
        "lang": "de",
        "day": "2024-01-01/2",
    }
    assert partition_of("lang=__HIVE_DEFAULT_PARTITION__/a.csv") == {"lang": None}
    assert partition_of("=x/a=b.csv") == {}
