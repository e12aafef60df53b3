"""The main flow: labeled texts and a pool in; labels, a student and a report out.

    python -m flows.label_pool runs/news/config.json
    python -m flows.label_pool task=ag_news labeled=ten.csv pool=texts.parquet \\
        model=roberta-large out=runs/news student.steps=500
    prefect deploy flows/label_pool.py:label_pool
"""

from __future__ import annotations

if __name__ == "__main__":
    from flows.server import prepare

    prepare(console_level="INFO")  # before Prefect is imported

import contextvars
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled
from prefect.task_runners import ThreadPoolTaskRunner

from flows.server import connected
from pet.config import RunConfig, load_config, make_config
from pet.errors import Interrupted, PetError
from pet.progress import SILENT, Observer


@dataclass
class _Caller:
    """Who called the flow in this process: what cannot be a flow's parameter or result."""

    observer: Observer = SILENT
    report: dict[str, Any] | None = None
    error: Exception | None = None


_caller: contextvars.ContextVar[_Caller] = contextvars.ContextVar("caller")


def run_name() -> str:
    """Name a flow run after its run folder."""
    config = flow_run.parameters["config"]
    return Path(config["out"] if isinstance(config, dict) else config.out).name


# One worker: the seeds of a process are shared by its threads, and so is its GPU.
@flow(
    name="label-pool",
    flow_run_name=run_name,
    task_runner=ThreadPoolTaskRunner(max_workers=1),  # type: ignore[arg-type]
    persist_result=False,
)
def label_pool(config: RunConfig, update: bool = False) -> dict[str, Any] | State[Any]:
    """Label a pool.

    Args:
        config: everything that is needed to repeat the run.
        update: let new inputs into an old run folder.
    """
    from flows.artifacts import Progress, RunObserver, show_result
    from flows.steps import Submit
    from pet import pipeline

    caller = _caller.get(_Caller())
    observer = RunObserver(caller.observer)
    try:
        with Progress(observer):
            execute = Submit(observer.stopping)
            caller.report = pipeline.label_pool(config, execute, observer, update=update)
        show_result(caller.report)
    except Interrupted as error:
        caller.error = error
        return Cancelled(message=str(error))
    except Exception as error:
        caller.error = error
        raise
    return caller.report


def run_flow(
    config: RunConfig, observer: Observer = SILENT, update: bool = False
) -> dict[str, Any]:
    """Run the flow in this process, on the user's Prefect server or on one of our own.

    Raises:
        PetError: whatever kept the run from its end, as itself; Interrupted on SIGTERM too.
    """
    caller = _Caller(observer)
    token = _caller.set(caller)
    try:
        with connected(meanwhile=_import_pipeline):
            label_pool(config, update, return_state=True)
    except TerminationSignal as signal:
        raise Interrupted("the process was told to end") from signal
    except Exception as error:
        caller.error = caller.error or error
    finally:
        _caller.reset(token)
    if caller.report is not None:
        if caller.error is not None:
            observer.say(f"the run is done, but Prefect took no note of it: {caller.error}")
        return caller.report
    if caller.error is None:
        raise PetError("Prefect ended the run before it began; see the flow run's log")
    raise caller.error


def _import_pipeline() -> None:
    import pet.pipeline  # noqa: F401  (seconds, in which a server can start)


def main(arguments: list[str]) -> int:
    """Run the flow from a configuration file or from key=value settings; return the exit status."""
    update = "--update" in arguments
    arguments = [argument for argument in arguments if argument != "--update"]
    try:
        if len(arguments) == 1 and "=" not in arguments[0]:
            config = load_config(Path(arguments[0]))
        else:
            config = make_config({}, tuple(arguments))
        run_flow(config, update=update)
    except PetError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        return Interrupted.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
