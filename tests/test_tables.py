"""Raw files in, Parquet files out."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.errors import InputError, PetError
from pet.tables import content_digest, count_rows, open_sources, read_chunks, write_parquet
from tests.files import parquet, read, write


@pytest.fixture
def texts() -> pa.Table:
    return pa.table({"text": [f"text {number}" for number in range(1000)]})


# What is there


def test_a_path_with_nothing_there_is_named_with_what_stands_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "text\na\n")
    with pytest.raises(InputError, match=r"nothing there(.|\n)*holds train\.csv"):
        open_sources(tmp_path / "trian.csv")
    with pytest.raises(InputError, match="does not exist either"):
        open_sources(tmp_path / "no" / "trian.csv")


def test_an_empty_file_is_not_taken_for_an_empty_pool(tmp_path: Path) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        with pytest.raises(InputError, match="an empty file"):
            open_sources(write(tmp_path / f"a.{suffix}", ""))


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


def test_ten_thousand_broken_files_make_one_problem_not_ten_thousand(tmp_path: Path) -> None:
    for number in range(50):
        write(tmp_path / f"{number:02}.csv", "")
    with pytest.raises(InputError, match=r"02\.csv and 47 more files") as caught:
        open_sources(tmp_path)
    assert len(caught.value.problems) == 1


# Chunks


def test_chunks_know_their_place_in_the_file(tmp_path: Path) -> None:
    count = 20_000
    write(tmp_path / "a.csv", "text\n" + "".join(f"t{n}\n" for n in range(count)))
    write(tmp_path / "b.jsonl", "".join(f'{{"text": "t{n}"}}\n' for n in range(count)))
    write_parquet(tmp_path / "c.parquet", pa.table({"text": [f"t{n}" for n in range(count)]}), {})
    for source in open_sources(tmp_path):
        assert count_rows(source) == count
        for chunk in read_chunks(source, ["text"], []):
            assert chunk.table.column("text")[0].as_py() == f"t{chunk.first}"
            assert chunk.cut(3, 5).table.column("text").to_pylist() == [
                f"t{chunk.first + 3}", f"t{chunk.first + 4}"
            ]  # fmt: skip


# Files that do not hold still


def test_a_file_that_changes_under_the_reader_fails_the_run(
    tmp_path: Path, texts: pa.Table
) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, texts, {})
    [source] = open_sources(path)
    chunks = read_chunks(source, ["text"], [])
    next(chunks)
    write_parquet(path, texts.slice(1), {})
    with pytest.raises(PetError, match="changed since the start") as caught:
        list(chunks)
    assert caught.value.exit_status == 1


def test_a_file_that_disappears_fails_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text\na\n")
    [source] = open_sources(path)
    path.unlink()
    with pytest.raises(PetError, match="it has disappeared"):
        list(read_chunks(source, ["text"], []))
    with pytest.raises(PetError, match="it has disappeared"):
        count_rows(source)


def test_damage_in_the_middle_of_a_parquet_file_is_not_read_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.parquet"
    write_parquet(path, pa.table({"text": [rng.bytes(20).hex() for _ in range(5000)]}), {})
    content = bytearray(path.read_bytes())
    content[2000:4000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(InputError, match="a file that can be read to its end"):
        read(path)


# Names by content


def test_a_digest_depends_on_content_and_names_not_on_place_or_order(tmp_path: Path) -> None:
    for root in ("here", "there"):
        write(tmp_path / root / "a.csv", "1")
        write(tmp_path / root / "sub" / "b.csv", "2")
    here, there = ([tmp_path / root / name for name in ("a.csv", "sub/b.csv")]
                   for root in ("here", "there"))  # fmt: skip
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


# Parquet out


def test_the_same_table_gives_the_same_bytes(tmp_path: Path, texts: pa.Table) -> None:
    write_parquet(tmp_path / "a.parquet", texts, {"run": "1", "model": "m"})
    write_parquet(tmp_path / "b.parquet", texts, {"model": "m", "run": "1"})
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_metadata_stands_in_the_file(tmp_path: Path, texts: pa.Table) -> None:
    write_parquet(tmp_path / "new" / "a.parquet", texts, {"fingerprint": "f1"})
    file = pq.ParquetFile(tmp_path / "new" / "a.parquet")
    assert file.metadata.metadata[b"fingerprint"] == b"f1"
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.read()["text"].to_pylist() == texts["text"].to_pylist()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, texts: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "a.parquet", texts, {})
    before = (tmp_path / "a.parquet").read_bytes()

    def fail(table: pa.Table, path: Path, **_: object) -> None:
        Path(path).write_bytes(before[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(PetError, match="free some space"):
        write_parquet(tmp_path / "a.parquet", texts.slice(1), {})
    assert (tmp_path / "a.parquet").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_arrow_reports_a_full_disk_in_a_way_that_we_understand(tmp_path: Path) -> None:
    code = """
import sys, pyarrow as pa
from pet.errors import PetError
from pet.tables import write_parquet
try:
    write_parquet(sys.argv[1], pa.table({"text": [str(n) for n in range(100_000)]}), {})
except PetError as error:
    sys.exit(str(error))
"""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    path = tmp_path / "a.parquet"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, preexec_fn=limit
    )
    assert "room on the disk" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_cannot_be_written_into(tmp_path: Path, texts: pa.Table) -> None:
    write(tmp_path / "labels", "a file")
    with pytest.raises(PetError, match="a place that can be written"):
        write_parquet(tmp_path / "labels" / "a.parquet", texts, {})


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
