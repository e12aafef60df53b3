"""One process at a time works on a folder; a dead one keeps nobody out."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pet.errors import InputError, LockedError
from pet.storage.locks import LOCK, locked

HOLDER = """
import sys
from pathlib import Path
from pet.storage.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Let another process take the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_turned_away_and_a_dead_ones_lock_is_taken_over(
    tmp_path: Path,
) -> None:
    with hold(tmp_path) as holder:
        with (
            pytest.raises(LockedError, match=f"held by process {holder.pid} on "),
            locked(tmp_path),
        ):
            pass
        holder.kill()
        holder.wait()
    said: list[str] = []
    with locked(tmp_path, said.append):
        pass
    assert len(said) == 1
    assert f"the lock of process {holder.pid}" in said[0]
    assert "taken over" in said[0]


def test_a_lock_that_was_given_back_is_taken_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        with locked(tmp_path / "new", said.append):
            pass
    assert said == []


def test_the_lock_is_given_back_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x"), locked(tmp_path):
        raise ValueError("x")
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("number", [1, os.getpid(), 2**22 + 1], ids=["init", "ours", "nobody"])
@pytest.mark.parametrize("host", [socket.gethostname(), "another-host"])
def test_a_name_in_the_file_locks_nobody_out(tmp_path: Path, number: int, host: str) -> None:
    """The number may be a live process's by now, on this host or another: only the kernel knows."""
    (tmp_path / LOCK).write_text(f"process {number} on {host}")
    said: list[str] = []
    with locked(tmp_path, said.append):
        assert (tmp_path / LOCK).read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert said == [f"the lock of process {number} on {host}, which is gone, is taken over"]


def test_bytes_that_are_no_text_lock_nobody_out(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(b"\xff\xfe" * 5000)
    with locked(tmp_path):
        pass


def test_a_lock_whose_folder_was_removed_meanwhile_holds_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for a run that then removed its new folder would hold a file of no name, and
    so would let a third process in."""
    folder, removed = tmp_path / "run", []
    real = os.open

    def open_late(path: Path, *rest: int) -> int:
        descriptor = real(path, *rest)
        if not removed:
            removed.append(path)
            os.unlink(path)
        return descriptor

    monkeypatch.setattr("pet.storage.locks.os.open", open_late)
    with locked(folder):
        assert removed == [folder / LOCK]
        with pytest.raises(LockedError, match=f"process {os.getpid()}"), locked(folder):
            pass


def test_a_file_system_without_locks_is_no_other_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("pet.storage.locks.fcntl.flock", refuse)
    with (
        pytest.raises(InputError, match="a file system that has locks") as caught,
        locked(tmp_path),
    ):
        pass
    assert "No locks available" in str(caught.value)


def test_a_full_disk_is_told_from_a_lock_that_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pet.storage.locks.os.pwrite", refuse)
        with pytest.raises(InputError, match="room on the disk"), locked(tmp_path):
            pass
    with locked(tmp_path):  # nobody holds it
        pass


def test_a_file_where_the_folder_should_be_is_the_users_to_correct(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="a place that can be written"), locked(tmp_path / "file"):
        pass
