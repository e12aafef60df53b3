"""Jobs and who does them."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pet.jobs import InProcess, Job


class Threads:
    """Two workers who wait for each other; told to stop, they let go."""

    at_once = 2

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def work(self, job: Job) -> Any:
        return job.work()

    def stop(self) -> None:
        self.stopped.set()


def test_results_of_jobs_done_side_by_side_come_in_the_order_of_the_jobs() -> None:
    meeting = threading.Barrier(2, timeout=60)

    def work(number: int) -> int:
        meeting.wait()  # neither ends before both have begun
        return number

    jobs = [Job(str(number), lambda number=number: work(number)) for number in range(2)]  # type: ignore[misc]
    assert InProcess(Threads())(jobs) == [0, 1]


def test_a_job_that_fails_lets_the_others_go_and_its_error_comes_out() -> None:
    workers = Threads()

    def fail() -> None:
        raise ValueError("the first one")

    def wait() -> None:
        assert workers.stopped.wait(60), "nobody told this job to stop"

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
