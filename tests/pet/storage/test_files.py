"""Files that are whole or absent, and Parquet of our own that is read as it was written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from pet.errors import PetError
from pet.storage.files import (
    TEMPORARY_PREFIX,
    append_line,
    drop_torn_line,
    read_parquet,
    read_parquet_batches,
    sweep,
    write_parquet,
    write_text,
    writing,
)

TABLE = pa.table({"id": [f"row-{n}" for n in range(200)], "label": ["sport", "space"] * 100})


def test_a_flipped_bit_in_a_file_of_ours_is_found_wherever_it_is_read(tmp_path: Path) -> None:
    """One of fourteen exported other labels without a word."""
    path = tmp_path / "part.parquet"
    write_parquet(path, TABLE, {})
    whole = path.read_bytes()
    read = differ = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        try:
            names = TABLE.column_names  # a footer, which has no checksum, may name other ones
            batches = read_parquet_batches(path, 64, names)
            tables = [read_parquet(path, names), pa.Table.from_batches(batches)]
        except PetError:
            continue
        read += 1
        differ += sum(table.to_pydict() != TABLE.to_pydict() for table in tables)
    assert read < len(whole) // 7, "no bit was noticed: the test flips none that matter"
    assert not differ


def test_what_was_written_is_read_by_columns_and_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    write_parquet(path, TABLE, {"fingerprint": "f"})
    assert read_parquet(path, ["label"]).column_names == ["label"]
    batches = list(read_parquet_batches(path, 64, ["id"]))
    assert [len(batch) for batch in batches] == [64, 64, 64, 8]


def test_a_missing_file_is_one_screen(tmp_path: Path) -> None:
    with pytest.raises(PetError, match=r"none\.parquet\n  expected: a file as it was written"):
        read_parquet(tmp_path / "none.parquet")


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_what_a_library_wrote_for_the_user_alone_follows_the_umask(
    tmp_path: Path, mask: int
) -> None:
    """safetensors do: nobody else could load a student that was meant to be shared."""
    before = os.umask(mask)
    try:
        with writing(tmp_path / "student") as folder:
            folder.mkdir()
            for mode in (0o600, 0o666):
                os.close(os.open(folder / f"{mode}.safetensors", os.O_CREAT | os.O_WRONLY, mode))
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    files = [*(tmp_path / "student").iterdir(), tmp_path / "a.txt"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o666 & ~mask}


WRITES = """
import sys, time
from pathlib import Path
from pet.storage.files import writing
with writing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(flush=True)
    time.sleep(300)
"""


def test_what_a_killed_process_left_beside_a_target_is_swept_and_a_living_ones_is_not(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(tmp_path / "a.csv")], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    sweep(tmp_path, below=False)
    (room,) = tmp_path.iterdir()
    assert (room / "a.csv").read_text() == "half"
    process.kill()
    process.wait()
    sweep(tmp_path, below=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_only_called_like_ours_through_a_link_is_left_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "a.csv").write_text("text")
    (tmp_path / f"{TEMPORARY_PREFIX}x").symlink_to(tmp_path / "theirs")
    sweep(tmp_path, below=False)
    assert (tmp_path / "theirs" / "a.csv").exists()


def test_a_line_that_a_kill_has_torn_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    log = tmp_path / "log"
    append_line(log, "first")
    append_line(log, "second")
    with log.open("ab") as stream:
        stream.write(b"thi")
    drop_torn_line(log)
    append_line(log, "third")
    assert log.read_text() == "first\nsecond\nthird\n"


def test_a_line_that_cannot_be_written_whole_leaves_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    append_line(log, "first")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(PetError, match="room on the disk"):
            append_line(log, "second")
    assert log.read_text() == "first\n"
