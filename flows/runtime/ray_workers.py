"""Jobs on a Ray cluster: each on some node, with the CPUs and GPUs that it asks for."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from pydantic import BaseModel, Field

from pet.errors import InputError, PetError, Problem, missing_package, outage
from pet.jobs import Job
from pet.progress import NOTES, Observer

T = TypeVar("T")

LOOK_SECONDS = 0.2  # between two looks at whether a job is done, or the user wants to stop
MOST_AT_ONCE = 256  # threads that wait for jobs
ANSWER_SECONDS = 10.0  # within which a cluster takes a call
RETRIES = 3  # of a job whose node or process died; an error of the job itself is not tried again


class RayOptions(BaseModel, extra="forbid"):
    """Which cluster, and what a job asks it for."""

    address: str | None = Field(
        None, description="of the cluster: auto, or ray://host:10001; none: this machine alone"
    )
    cpus_per_job: float = Field(1, gt=0, description="CPUs, and threads, of a job")
    gpus_per_job: float | None = Field(
        None, ge=0, description="GPUs of a job; 1 if not given, where the cluster has any"
    )


@contextlib.contextmanager
def ray_workers(options: RayOptions, observer: Observer) -> Iterator[RayWorkers]:
    """Connect with a cluster, or start one on this machine, for as long as the block lasts.

    Raises:
        InputError: Ray is not installed, there is no cluster, or none of its nodes has what a job
            asks for.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # of our own cluster: no guest here
    try:
        import ray
    except ImportError:
        raise missing_package("ray", "ray", "--runner ray") from None
    if (problem := _nobody_at(options.address)) is not None:
        raise InputError(problem)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(
            options.address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if options.address is None else None,
            namespace="pet",
        )
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise InputError(_no_cluster(options.address, str(error).splitlines()[0])) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray puts its own in their place
                signal.signal(number, handler)
    try:
        yield RayWorkers(options, observer)
    finally:
        ray.shutdown()


def _no_cluster(address: str | None, found: str) -> Problem:
    return Problem(
        f"--address {address}",
        "the address of a running Ray cluster",
        found,
        "start one with `ray start --head`; see flows/ray.md",
    )


def _nobody_at(address: str | None) -> Problem | None:
    """Return the problem of an address without a cluster: Ray itself tries for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon:
        return None  # none, or auto
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        return _no_cluster(address, str(error))
    return None


class RayWorkers:
    """Does jobs on a cluster; a job whose node dies is done on another."""

    def __init__(self, options: RayOptions, observer: Observer):
        import ray

        self._ray, self._observer = ray, observer
        self._stopped = threading.Event()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        gpus = options.gpus_per_job
        if gpus is None:
            gpus = 1.0 if any(node.get("GPU") for node in nodes) else 0.0
        room = sum(_room(node, options.cpus_per_job, gpus) for node in nodes)
        self.at_once = min(MOST_AT_ONCE, room)
        if not self.at_once:
            found = ", ".join(
                f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes
            )
            raise InputError(
                Problem(
                    "--cpus-per-job, --gpus-per-job",
                    "what at least one node of the cluster has",
                    f"{options.cpus_per_job:g} CPUs and {gpus:g} GPUs; nodes of {found}",
                    "ask for less, or add a node",
                )
            )
        self._needs = {"num_cpus": options.cpus_per_job, "num_gpus": gpus}
        self._carry_out = ray.remote(max_retries=RETRIES)(_carry_out)

    def work(self, job: Job[T]) -> T:
        if job.here:
            return job.work()
        running = self._carry_out.options(name=job.name, **self._needs).remote(job.work)
        try:
            done: list[Any] = []
            while not done:
                self._observer.advance(0)  # raises where the user asked to stop
                if self._stopped.is_set():
                    raise PetError(f"{job.name}: let go, since another job failed")
                done, _ = self._ray.wait([running], timeout=LOOK_SECONDS)
            result, error, lines, node = self._ray.get(running)
        except self._ray.exceptions.RayError as failure:
            raise _as_pet_error(job, failure) from failure
        except BaseException:
            self._ray.cancel(running, force=True)
            raise
        for line in lines:
            self._observer.note(line)
        if error is not None:
            raise error
        self._observer.note(f"{job.name}: done on {node}")
        return cast(T, result)

    def stop(self) -> None:
        self._stopped.set()


def _room(node: dict[str, float], cpus: float, gpus: float) -> int:
    """Count the jobs that a node does at once."""
    return int(min(node.get("CPU", 0) / cpus, node.get("GPU", 0) / gpus if gpus else float("inf")))


def _as_pet_error(job: Job[Any], failure: Exception) -> PetError:
    """Return the `PetError` that caused Ray's error, or one of a node that died."""
    cause = getattr(failure, "cause", None)
    if isinstance(cause, PetError):
        return cause
    found = str(failure).splitlines()[0]
    return outage(job.name, "a node that lives until the job is done", found, "the cluster")


def _carry_out(work: Callable[[], Any]) -> tuple[Any, Exception | None, list[str], str]:
    """Do a job in a process of the cluster; return its result, error, notes and node."""
    import ray

    node = ray.util.get_node_ip_address()
    try:
        return work(), None, NOTES.take(), node
    except Exception as error:
        return None, error, NOTES.take(), node
