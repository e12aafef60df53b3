"""Who does a run's jobs: this process, processes of this machine, or a cluster."""

from __future__ import annotations

import contextlib

from flows.runtime.process_workers import process_workers
from flows.runtime.ray_workers import RayOptions, ray_workers
from pet.jobs import LocalWorkers, Workers
from pet.progress import Observer


def workers_of(
    observer: Observer, jobs: int, ray: RayOptions | None
) -> contextlib.AbstractContextManager[Workers]:
    """Return who does a run's jobs.

    Args:
        jobs: how many are done side by side on this machine; 1: in this process.
        ray: the cluster that does them instead.
    """
    if ray is not None:
        return ray_workers(ray, observer)
    if jobs > 1:
        return process_workers(jobs, observer)
    return contextlib.nullcontext(LocalWorkers())
