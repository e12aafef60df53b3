"""Sixteen schedules of faults, and what the harness itself must notice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pet.errors import InputError, PetError
from pet.storage.files import sweep, write_parquet, write_text
from tests.faults.disk import KINDS, Disk, Fault, Killed
from tests.faults.scenarios import Samples, Scenario, kinds_of_runs, scenarios
from tests.faults.schedules import play

FOUND = (365,)  # of the thousand, those that once ended otherwise


@pytest.fixture(scope="module")
def among(starting: Samples, tmp_path_factory: pytest.TempPathFactory) -> list[Scenario]:
    return scenarios(starting, tmp_path_factory.mktemp("schedules"))


@pytest.mark.parametrize("number", [*range(5), *FOUND])
def test_after_a_schedule_of_faults_the_bytes_are_those_of_the_undisturbed_run(
    among: list[Scenario], number: int
) -> None:
    play(number, among)


@pytest.mark.faults
@pytest.mark.parametrize("number", range(24))
def test_runs_of_several_labels_and_with_rules_go_on_to_the_same_bytes(
    starting: Samples, tmp_path: Path, number: int
) -> None:
    played = play(number, kinds_of_runs(starting, tmp_path))
    assert played.lines[-1] == "undisturbed: done"


def test_a_schedule_is_the_same_when_it_is_played_again(among: list[Scenario]) -> None:
    """A number that plays something else each time would be of no use to anybody."""
    chosen = [one for one in among if one.name.startswith("review")]
    first, again = (play(3, chosen) for _ in range(2))
    assert first == again
    assert first.happened


def one(place: Path, work: Callable[[Path], object]) -> Scenario:
    """A command of one function, whose errors are reported as ours are."""

    def command(folder: Path) -> None:
        try:
            work(folder)
        except OSError as error:
            raise PetError(str(error)) from error

    return Scenario("own", place, lambda folder: None, command)


def play_many(scenario: Scenario, count: int) -> set[str]:
    """Play schedules; return the kinds of faults that happened."""
    played = [play(number, [scenario]) for number in range(count)]
    return {fault.kind for own in played for fault in own.happened}


def test_a_file_that_is_written_where_it_lies_is_noticed(tmp_path: Path) -> None:
    def command(place: Path) -> None:
        for number in range(3):
            (place / f"{number}.txt").write_text("whole " * 100)

    with pytest.raises(AssertionError, match="is half a file, or another one"):
        play_many(one(tmp_path / "own", command), 40)


def test_a_rename_of_what_was_not_synced_is_noticed(tmp_path: Path) -> None:
    """After a power cut a file may be named, and cut off."""

    def command(place: Path) -> None:
        for number in range(3):
            new = place / ".pet-tmp-new"
            new.write_text("whole " * 100)
            os.replace(new, place / f"{number}.txt")

    with pytest.raises(AssertionError, match="is half a file, or another one"):
        play_many(one(tmp_path / "own", command), 200)


def test_a_temporary_name_that_stays_is_noticed(tmp_path: Path) -> None:
    scenario = one(tmp_path / "own", lambda place: (place / ".pet-tmp-x").mkdir(exist_ok=True))
    with pytest.raises(AssertionError, match="temporary files stay"):
        play(0, [scenario])


def test_an_error_that_is_none_of_ours_is_noticed(tmp_path: Path) -> None:
    """A user would read a traceback."""
    scenario = one(tmp_path / "own", Path.exists)
    scenario.command = lambda place: (place / "x").mkdir(exist_ok=True)
    with pytest.raises(OSError, match=r"Input/output error|No space left"):
        play_many(scenario, 40)


def test_the_one_way_to_write_withstands_every_fault(tmp_path: Path) -> None:
    def command(place: Path) -> None:
        sweep(place)
        for number in range(3):
            write_text(place / "more" / f"{number}.txt", "whole " * 100)

    assert play_many(one(tmp_path / "own", command), 100) == set(KINDS)


@pytest.mark.parametrize("operation", ["mkdir", "create", "write", "fsync", "rename", "rmdir"])
def test_a_process_that_is_killed_changes_nothing_any_more(tmp_path: Path, operation: str) -> None:
    (tmp_path / "own").mkdir()
    with Disk(tmp_path / "own", Fault("killed", operation, 1)) as disk:
        with pytest.raises(Killed):
            write_text(tmp_path / "own" / "a.txt", "whole")
        with pytest.raises(Killed):
            write_text(tmp_path / "own" / "b.txt", "whole")
        write_text(tmp_path / "other.txt", "somebody else's")
    assert disk.trace[-1].startswith(operation)
    assert (tmp_path / "own" / "a.txt").exists() == (operation == "rmdir")
    assert not (tmp_path / "own" / "b.txt").exists()
    write_text(tmp_path / "own" / "b.txt", "whole")


def test_a_full_disk_is_the_kernels_own(tmp_path: Path) -> None:
    """Parquet and safetensors are written by C++ and Rust, past all that is watched here."""
    (tmp_path / "own").mkdir()
    fault = Fault("short write", "fsync", 1, after=True, room=100)
    with Disk(tmp_path / "own", fault):
        write_text(tmp_path / "own" / "a.txt", "whole")
        with pytest.raises(InputError, match="room on the disk"):
            write_parquet(tmp_path / "own" / "b.parquet", pa.table({"n": range(1000)}), {})
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["a.txt"]
    write_parquet(tmp_path / "own" / "b.parquet", pa.table({"n": range(1000)}), {})
