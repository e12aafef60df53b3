"""Calling a flow in this process, and running its body; errors are raised unchanged."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import State
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows.runtime.ray_workers import RayOptions
from flows.runtime.server import connected
from flows.runtime.workers import workers_of
from pet.errors import Interrupted, PetError, as_pet_error
from pet.escaping import visible
from pet.jobs import Execute
from pet.progress import SILENT, Observer

Body = Callable[[Execute, Observer], dict[str, Any]]


@dataclass
class _Caller:
    """Who called a flow in this process: what cannot be its parameter or result."""

    observer: Observer = SILENT
    result: dict[str, Any] | None = None
    error: Exception | None = None


_caller: contextvars.ContextVar[_Caller] = contextvars.ContextVar("caller")


def warn_on_stderr(line: str) -> None:
    """Tell about settings, before there is a flow run that has a log."""
    sys.stderr.write(f"warning: {visible(line)}\n")


def run_name() -> str:
    """Name a flow run after its run folder, or its store."""
    config = flow_run.parameters["config"]
    return Path(config["out"] if isinstance(config, dict) else config.out).name


def carry_out(
    name: str,
    body: Body,
    show: Callable[[dict[str, Any]], None],
    ray: RayOptions | None = None,
    jobs: int = 1,
) -> dict[str, Any] | State[Any]:
    """Run a flow's body: jobs as task runs, one run on a machine at a time, progress in sight.

    Args:
        name: of the flow: its artifacts are called after it.
        show: leaves artifacts of the result.
        ray: the cluster that does the jobs; this machine, if there is none.
        jobs: how many are done side by side on this machine.
    """
    from flows.runtime.artifacts import Progress, RunObserver
    from flows.runtime.limits import one_at_a_time
    from flows.runtime.steps import Submit

    caller = _caller.get(_Caller())
    observer = RunObserver(caller.observer)
    try:
        with (
            one_at_a_time(observer.note),
            Progress(observer, name),
            workers_of(observer, jobs, ray) as workers,
        ):
            caller.result = body(Submit(observer.stopping, workers), observer)
        show(caller.result)
    except Interrupted as error:
        caller.error = error
        return Cancelled(message=str(error))
    except Exception as error:
        caller.error = error
        raise
    return caller.result


def call(
    flow: Callable[[], Any], observer: Observer, meanwhile: Callable[[], object]
) -> dict[str, Any]:
    """Call a flow in this process, on the user's Prefect server or on one of our own.

    Args:
        meanwhile: what to do while our own server starts.

    Raises:
        PetError: whatever kept the run from its end, as itself; Interrupted on SIGTERM too.
    """
    caller = _Caller(observer)
    token = _caller.set(caller)
    try:
        with connected(meanwhile=meanwhile):
            flow()
    except TerminationSignal as signal:
        raise Interrupted("the process was asked to end") from signal
    except Exception as error:
        caller.error = caller.error or error
    finally:
        _caller.reset(token)
    if caller.result is not None:
        if caller.error is not None:
            observer.note(f"the run is done, but Prefect took no note of it: {caller.error}")
        return caller.result
    if caller.error is None:
        raise PetError("Prefect ended the run before it began; see the flow run's log")
    raise caller.error


def exit_status(work: Callable[[], object]) -> int:
    """Do the work of a flow's own command line; print a `PetError`, and return the exit status."""
    try:
        work()
    except KeyboardInterrupt:
        return Interrupted.exit_status
    except Exception as error:
        known = as_pet_error(error)
        if known is None:
            raise
        sys.stderr.write(f"{visible(str(known))}\n")
        return known.exit_status
    return 0
