"""Jobs side by side on this machine: each in a process with one thread, a lone one with all.

Two processes of a thread do more with a model of a few million weights than one of two threads.
Memory is the price: a process takes a gigabyte.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pet.errors import PetError, Problem
from pet.jobs import Job
from pet.progress import NOTES, Observer

T = TypeVar("T")

LOOK_SECONDS = 0.2  # between two looks at whether a job is done, or the user wants to stop


@contextlib.contextmanager
def process_workers(count: int, observer: Observer) -> Iterator[ProcessWorkers]:
    """Do jobs in `count` processes of this machine for as long as the block lasts."""
    workers = ProcessWorkers(count, observer)
    try:
        yield workers
    finally:
        workers.stop()


class ProcessWorkers:
    """Does jobs in processes, which are started when the first job comes."""

    def __init__(self, count: int, observer: Observer):
        self.at_once = count
        self._observer = observer
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def work(self, job: Job[T]) -> T:
        if job.here:
            return job.work()
        import torch

        threads = torch.get_num_threads() if job.alone else 1
        try:
            with self._lock:  # jobs come from several threads
                running = self._started().submit(_carry_out, job.work, threads)
            result, error, lines = self._wait(job, running)
        except BrokenProcessPool:
            found = "one that was ended from outside, maybe for lack of memory"
            expected = "a process that lives until the job is done"
            raise PetError(Problem(job.name, expected, found, "--jobs 1, or fewer")) from None
        for line in lines:
            self._observer.note(line)
        if error is not None:
            raise error
        self._observer.note(f"{job.name}: done")
        return result

    def stop(self) -> None:
        """End all processes; what a job had half-made is removed when the run goes on."""
        self._stopped.set()
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            for process in processes:
                process.join()

    def _wait(self, job: Job[T], running: Future[Any]) -> Any:
        while True:
            self._observer.advance(0)  # raises where the user asked to stop
            if self._stopped.is_set():
                raise PetError(f"{job.name}: let go, since another job failed")
            with contextlib.suppress(TimeoutError):
                return running.result(timeout=LOOK_SECONDS)

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            methods = multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context("forkserver" if "forkserver" in methods else None)
            if hasattr(context, "set_forkserver_preload"):
                context.set_forkserver_preload(["pet.pipeline"])  # imported once for all of them
            self._pool = ProcessPoolExecutor(self.at_once, context, _prepare)
        return self._pool


def _prepare() -> None:
    """Prepare a process: no Ctrl-C of its own, an end with the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _carry_out(work: Callable[[], Any], threads: int) -> tuple[Any, Exception | None, list[str]]:
    """Do a job in a process of its own; return its result, error and notes."""
    import torch

    torch.set_num_threads(threads)
    try:
        return work(), None, NOTES.take()
    except Exception as error:
        return None, error, NOTES.take()
