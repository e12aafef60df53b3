"""Units of work by name; how they are carried out, and where, is the caller's choice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pet.errors import PetError
from pet.storage.run_folders import NO_LABELS, RunFolder
from pet.storage.units import Unit


@dataclass(frozen=True)
class Job:
    """One unit of work.

    Attributes:
        name: what a person sees.
        work: makes the unit, or finds that it is up to date.
        here: it belongs into the process that was asked, whoever works elsewhere: it reads what
            only this process knows, or is too small to be sent.
    """

    name: str
    work: Callable[[], Any]
    here: bool = False


class Workers(Protocol):
    """Where jobs are done."""

    @property
    def at_once(self) -> int:
        """How many jobs are done side by side."""
        ...

    def work(self, job: Job) -> Any:
        """Do one job and return its result. Called from several threads if `at_once` is above 1."""
        ...

    def stop(self) -> None:
        """Let go of every job: one of them has failed, or the user asked for it."""
        ...


class LocalWorkers:
    """Jobs are done in this process, one after another."""

    at_once = 1

    def work(self, job: Job) -> Any:
        return job.work()

    def stop(self) -> None:
        """Nothing goes on after the job that failed."""


class Execute(Protocol):
    """Runs independent jobs and returns their results in order."""

    @property
    def at_once(self) -> int:
        """How many jobs it is worth cutting the work into, at least."""
        ...

    def __call__(self, jobs: Sequence[Job]) -> list[Any]: ...


class InProcess:
    """Jobs and nothing around them."""

    def __init__(self, workers: Workers | None = None):
        self._workers = workers or LocalWorkers()
        self.at_once = self._workers.at_once

    def __call__(self, jobs: Sequence[Job]) -> list[Any]:
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
    work: Callable[[], Any],
    labels: range = NO_LABELS,
    weights: Collection[str] = (),
) -> Any:
    """Do a job between fetching what others made and sending what it makes.

    Its units are named by their place in the run folder, which may lie elsewhere in the process
    that asked.

    Args:
        labels, weights: the label files, and the members whose weights, that it may find there
            already; see `RunFolder.fetch`.
    """
    run_folder.fetch(labels, weights=weights)
    try:
        result = work()
    except PetError:
        with contextlib.suppress(PetError):  # what is done is kept
            run_folder.push()
        raise
    run_folder.push()
    if isinstance(result, Unit):
        return _by_place(run_folder, result)
    return [_by_place(run_folder, unit) for unit in result] if isinstance(result, list) else result


def _by_place(run_folder: RunFolder, unit: Unit) -> Unit:
    return replace(unit, path=unit.path.relative_to(run_folder.path))
