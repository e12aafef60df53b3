"""The main flow: labeled texts and a pool in; labels, a student and a report out.

    python -m flows.label_pool runs/news/config.json
    python -m flows.label_pool task=ag_news labeled=ten.csv pool=texts.parquet \\
        model=roberta-large out=runs/news student.steps=500 --budget=2h
    prefect deploy flows/label_pool.py:label_pool
"""

from __future__ import annotations

if __name__ == "__main__":
    from flows.runtime.server import prepare

    prepare(console_level="INFO")  # before Prefect is imported

import sys
from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.runtime.calls import call, carry_out, exit_status, run_name, warn_on_stderr
from flows.runtime.hooks import tell_failure
from flows.runtime.ray_workers import MOST_AT_ONCE, RayOptions
from pet.config import Budget, RunConfig
from pet.jobs import Execute
from pet.progress import SILENT, Observer
from pet.settings import load_config, make_config, read_budget
from pet.storage.mirrors import open_run_folder


# Jobs of this process are submitted one after another: the seeds of a process are shared by its
# threads, and so is its GPU. Those of other processes and of a cluster are waited for side by side.
@flow(
    name="label-pool",
    flow_run_name=run_name,
    task_runner=ThreadPoolTaskRunner(max_workers=MOST_AT_ONCE),  # type: ignore[arg-type]
    persist_result=False,
    on_failure=[tell_failure],
    on_crashed=[tell_failure],
)
def label_pool(
    config: RunConfig,
    update: bool = False,
    ray: RayOptions | None = None,
    budget: Budget | None = None,
    jobs: int = 1,
) -> dict[str, Any] | State[Any]:
    """Label a pool.

    Args:
        config: everything that is needed to repeat the run.
        update: let new inputs into an old run folder.
        ray: the Ray cluster that does the jobs; this machine, if there is none.
        budget: the time in which the run is to end, by settings that are chosen for it once.
        jobs: how many are done side by side on this machine.
    """
    from flows.runtime.artifacts import show_result
    from pet import pipeline

    def body(execute: Execute, observer: Observer) -> dict[str, Any]:
        return pipeline.label_pool(
            config, execute, observer, update=update, budget=budget, estimated=ray is None
        )

    def show(report: dict[str, Any]) -> None:
        show_result(report, open_run_folder(config.out).path)

    return carry_out("label-pool", body, show, ray, jobs)


def run_flow(
    config: RunConfig,
    observer: Observer = SILENT,
    update: bool = False,
    ray: RayOptions | None = None,
    budget: Budget | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Run the flow in this process, on the user's Prefect server or on one of our own.

    Raises:
        PetError: whatever kept the run from its end, as itself; Interrupted on SIGTERM too.
    """
    flow = partial(label_pool, config, update, ray, budget, jobs, return_state=True)
    return call(flow, observer, _import_pipeline)


def _import_pipeline() -> None:
    import pet.pipeline  # noqa: F401  (seconds, in which a server can start)


def main(arguments: list[str]) -> int:
    """Run the flow from a configuration file or from key=value settings; return the exit status."""
    options = [argument for argument in arguments if argument.startswith("--")]
    settings = [argument for argument in arguments if argument not in options]
    times = [own.partition("=")[2] for own in options if own.startswith("--budget=")]

    def work() -> None:
        if len(settings) == 1 and "=" not in settings[0]:
            config = load_config(Path(settings[0]), to_train=True)
        else:
            config = make_config({}, tuple(settings), note=warn_on_stderr)
        budget = read_budget(times[-1], settings) if times else None
        run_flow(config, update="--update" in options, budget=budget)

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
