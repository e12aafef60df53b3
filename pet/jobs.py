"""Jobs by name; how they are executed, and where, is the caller's choice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, cast

from pet.errors import PetError
from pet.storage.run_folders import NO_LABELS, RunFolder
from pet.storage.units import Unit

T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """One piece of work, and the type of its result.

    Attributes:
        name: is shown to the user.
        work: makes the result, or finds that it is up to date.
        here: the job runs in the calling process, wherever others run: it needs what only this
            process has in memory, or is too small to be sent.
        alone: no other job is done meanwhile, so that it may have all threads.
    """

    name: str
    work: Callable[[], T]
    here: bool = False
    alone: bool = False


class Workers(Protocol):
    """Where jobs are done."""

    @property
    def at_once(self) -> int:
        """How many jobs are done side by side."""
        ...

    def work(self, job: Job[T]) -> T:
        """Do one job and return its result. Called from several threads if `at_once` is above 1."""
        ...

    def stop(self) -> None:
        """Give up all jobs: one of them has failed, or the user asked for it."""
        ...


class LocalWorkers:
    """Jobs are done in this process, one after another."""

    at_once = 1

    def work(self, job: Job[T]) -> T:
        return job.work()

    def stop(self) -> None:
        """Do nothing: no other job runs when one fails."""


class Execute(Protocol):
    """Runs independent jobs and returns their results in order."""

    @property
    def at_once(self) -> int:
        """How many jobs are done side by side: cutting work into fewer is slower."""
        ...

    def __call__(self, jobs: Sequence[Job[T]]) -> list[T]: ...


class InProcess:
    """Runs jobs directly, without a workflow engine."""

    def __init__(self, workers: Workers | None = None):
        self._workers = workers or LocalWorkers()
        self.at_once = self._workers.at_once

    def __call__(self, jobs: Sequence[Job[T]]) -> list[T]:
        if self.at_once == 1 or len(jobs) == 1:  # in this thread: that of the user's Ctrl-C
            return [self._workers.work(job) for job in jobs]
        with ThreadPoolExecutor(self.at_once) as threads:
            futures = [threads.submit(self._workers.work, job) for job in jobs]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._workers.stop()
                threads.shutdown(wait=False, cancel_futures=True)
                raise


def synced(
    run_folder: RunFolder,
    work: Callable[[], T],
    labels: range = NO_LABELS,
    weights: Collection[str] = (),
) -> T:
    """Fetch what other jobs made, do a job, and send what it made.

    The paths of its units become relative to the run folder, which may have another path in the
    calling process.

    Args:
        labels, weights: the label files, and the members whose weights, that the job may find
            there already; see `RunFolder.fetch`.
    """
    run_folder.fetch(labels, weights=weights)
    try:
        result = work()
    except PetError:
        with contextlib.suppress(PetError):  # what is done is kept
            run_folder.push()
        raise
    run_folder.push()
    return cast(T, _relative(run_folder, result))


def _relative(run_folder: RunFolder, result: Any) -> Any:
    """Make the paths of units relative to the run folder; other results stay as they are."""
    if isinstance(result, list):
        return [_relative(run_folder, one) for one in result]
    if isinstance(result, Unit):
        return replace(result, path=result.path.relative_to(run_folder.path))
    return result
