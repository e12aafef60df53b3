"""The sequence's jobs as Prefect task runs: one job, one task run, named like it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.states import Completed

from pet.jobs import Job, LocalWorkers, Workers
from pet.storage.units import Unit

T = TypeVar("T")

# Errors of a network file system that is unavailable for a moment. All others, above all wrong
# input and a run that another process holds, would recur at the second try.
PASSING = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EREMOTEIO})


class Call(Generic[T]):
    """A job, and then its outcome.

    Jobs hold whole data sets. Prefect walks through the containers, dataclasses and models that it
    is given, but not into a plain object.
    """

    result: T  # once `make` has returned

    def __init__(self, job: Job[T], workers: Workers):
        self._job = job
        self._workers = workers
        self.error: BaseException | None = None

    def make(self) -> None:
        self.error = None
        try:
            self.result = self._workers.work(self._job)
        except BaseException as error:
            self.error = error
            raise


def may_pass(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """Return whether a second try may succeed."""
    error = state.data
    while isinstance(error, BaseException):
        if isinstance(error, OSError) and error.errno in PASSING:
            return True
        error = error.__cause__
    return False


@task(
    name="job",
    task_run_name="{name}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=[1, 5],
    retry_condition_fn=may_pass,
)
def run_job(name: str, call: Call[Any]) -> State[None] | None:
    """Run one job; a unit that was up to date shows as Reused."""
    call.make()
    return reused_state(call.result)


def reused_state(result: Any) -> State[None] | None:
    """Return the state of a job that had nothing to do; None if it had."""
    units = result if isinstance(result, list) else [result]
    if units and all(isinstance(unit, Unit) and unit.reused for unit in units):
        paths = ", ".join(str(unit.path) for unit in units)
        return Completed(name="Reused", message=f"up to date: {paths}")
    return None


class Submit:
    """Executes jobs as task runs: as many at once as the workers do; after a failure, no other."""

    def __init__(self, stopping: threading.Event, workers: Workers | None = None):
        self._stopping = stopping
        self._workers = workers or LocalWorkers()
        self.at_once = self._workers.at_once

    def __call__(self, jobs: Sequence[Job[T]]) -> list[T]:
        if self.at_once == 1:
            return [self._wait(*self._submit(job)) for job in jobs]
        submitted = [self._submit(job) for job in jobs]
        try:
            return [self._wait(call, future) for call, future in submitted]
        except BaseException:
            self._workers.stop()
            for _, future in submitted:
                future.wait()
            raise

    def _submit(self, job: Job[T]) -> tuple[Call[T], PrefectFuture[Any]]:
        call = Call(job, self._workers)
        return call, run_job.submit(job.name, call)

    def _wait(self, call: Call[T], future: PrefectFuture[Any]) -> T:
        try:
            future.wait()
        except BaseException:
            # Ctrl-C and SIGTERM reach this thread; the job is in another one.
            self._stopping.set()
            future.wait()
            raise
        if call.error is not None:
            raise call.error
        future.result()  # raises where Prefect itself kept the job from running
        return call.result
