"""Jobs in processes of this machine: the same bytes, errors as themselves, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from flows.runtime import process_workers as own
from flows.runtime.process_workers import ProcessWorkers
from pet.errors import InputError, Interrupted, PetError, Problem
from pet.jobs import InProcess, Job
from pet.pipeline import label_pool
from pet.progress import Observer
from tests.pet.test_pipeline import Configure, results_of


class Listener(Observer):
    """Keeps the notes; stops the run after a line that begins so."""

    def __init__(self, last: str | None = None) -> None:
        self.lines: list[str] = []
        self._last, self._stop = last, False

    def advance(self, amount: int) -> None:
        if self._stop:
            raise Interrupted("asked by the test")

    def note(self, line: str) -> None:
        self.lines.append(line)
        self._stop = self._stop or (self._last is not None and line.startswith(self._last))


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessWorkers]:
    """Two processes for all tests of this file; each takes seconds to start."""
    started = ProcessWorkers(2, Observer())
    yield started
    started.stop()


def fail() -> None:
    raise InputError(Problem("a file", "one thing", "another"))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def threads_and_parent() -> tuple[int, int]:
    import torch

    return torch.get_num_threads(), os.getpid()


def test_a_job_has_one_thread_and_a_process_of_its_own(workers: ProcessWorkers) -> None:
    threads, process = workers.work(Job("look", threads_and_parent))
    assert threads == 1
    assert process != os.getpid()
    assert workers.work(Job("here", os.getpid, here=True)) == os.getpid()


def test_a_lone_job_has_all_threads_and_the_next_has_one_again(
    workers: ProcessWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The student, beside which no other job goes, took one core of however many there were."""
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    assert workers.work(Job("student", threads_and_parent, alone=True))[0] == 3
    assert workers.work(Job("look", threads_and_parent))[0] == 1


def test_an_error_arrives_as_itself(workers: ProcessWorkers) -> None:
    with pytest.raises(InputError, match="expected: one thing"):
        workers.work(Job("fail", fail))


@pytest.mark.faults
def test_a_stopped_run_goes_on_and_ends_with_the_bytes_of_one_process(
    workers: ProcessWorkers,
    config_for: Configure,
    tiny_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = config_for()
    stopped, listener = Listener("train g0"), Listener()
    monkeypatch.setattr(workers, "_observer", stopped)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "stop", lambda: None)  # other tests have the same processes
        with pytest.raises(Interrupted):
            label_pool(config, InProcess(workers), stopped)
    monkeypatch.setattr(workers, "_observer", listener)
    label_pool(config, InProcess(workers), listener)
    assert any(line.startswith("train g0") for line in listener.lines)
    assert results_of(Path(config.out)) == results_of(tiny_run)


def test_a_process_that_is_killed_is_named_with_what_to_do() -> None:
    with own.process_workers(2, Observer()) as started:
        with pytest.raises(PetError, match="--jobs 1") as caught:
            started.work(Job("train g0-last-r0", die))
        assert "train g0-last-r0" in str(caught.value)


SCRIPT = """
import time
from functools import partial
from flows.runtime.process_workers import ProcessWorkers
from pet.jobs import Job
from pet.progress import Observer
from tests.flows.runtime.test_process_workers import note_process

if __name__ == "__main__":
    workers = ProcessWorkers(2, Observer())
    workers.work(Job("note", partial(note_process, {place!r})))
    time.sleep(600)
"""


def note_process(place: str) -> None:
    Path(place).write_text(str(os.getpid()))


@pytest.mark.faults
def test_no_process_outlives_the_run_that_started_it(tmp_path: Path) -> None:
    place, script = tmp_path / "process", tmp_path / "run.py"
    script.write_text(SCRIPT.format(place=str(place)))
    run = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": os.getcwd()})
    wait_until(lambda: place.exists() and place.read_text() != "")
    process = int(place.read_text())
    run.kill()
    run.wait()
    wait_until(partial(is_gone, process))


def wait_until(happened: Callable[[], bool]) -> None:
    while not happened():  # or the test's own limit of time ends it
        time.sleep(0.1)


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False
