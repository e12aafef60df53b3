"""Jobs and who does them."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from pet.errors import PetError
from pet.jobs import InProcess, Job, synced
from pet.storage.mirrors import open_run_folder
from pet.storage.units import Unit

T = TypeVar("T")


class Threads:
    """Two jobs run at once; `stop` is noted, for a job that waits for it."""

    at_once = 2

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def work(self, job: Job[T]) -> T:
        return job.work()

    def stop(self) -> None:
        self.stopped.set()


def test_results_of_jobs_done_side_by_side_come_in_the_order_of_the_jobs() -> None:
    meeting = threading.Barrier(2, timeout=60)

    def work(number: int) -> int:
        meeting.wait()  # neither ends before both have begun
        return number

    jobs = [Job(str(number), partial(work, number)) for number in range(2)]
    assert InProcess(Threads())(jobs) == [0, 1]


def test_a_job_that_fails_lets_the_others_go_and_its_error_comes_out() -> None:
    workers = Threads()

    def fail() -> None:
        raise ValueError("the first one")

    def wait() -> None:
        assert workers.stopped.wait(60), "nobody stopped this job"

    with pytest.raises(ValueError, match="the first one"):
        InProcess(workers)([Job("fails", fail), Job("waits", wait)])


def test_jobs_of_this_process_stop_at_the_first_that_fails() -> None:
    done: list[str] = []

    def fail() -> None:
        raise ValueError("no")

    jobs = [Job("a", lambda: done.append("a")), Job("b", fail), Job("c", lambda: done.append("c"))]
    with pytest.raises(ValueError, match="no"):
        InProcess()(jobs)
    assert done == ["a"]


def test_units_that_were_made_are_named_by_their_place_in_the_run_folder(tmp_path: Path) -> None:
    folder = open_run_folder(tmp_path / "run")
    unit = Unit(folder.path / "members" / "a", "f", False, "not made yet")
    inside = Unit(Path("members/a"), "f", False, "not made yet")
    assert synced(folder, lambda: unit) == inside
    assert synced(folder, lambda: [unit, unit]) == [inside, inside]
    assert synced(folder, lambda: {"rows": 3}) == {"rows": 3}


class Pushes:
    """A run folder that notes when it is fetched and sent."""

    path = Path("run")

    def __init__(self) -> None:
        self.calls: list[str] = []

    def fetch(self, labels: range, *, weights: object) -> None:
        self.calls.append("fetch")

    def push(self) -> None:
        self.calls.append("push")
        raise PetError("the network is away")


def test_what_a_failed_job_has_made_is_sent_and_its_own_error_comes_out() -> None:
    folder = Pushes()

    def fail() -> None:
        raise PetError("no memory")

    with pytest.raises(PetError, match="no memory"):
        synced(folder, fail)  # type: ignore[arg-type]
    assert folder.calls == ["fetch", "push"]
