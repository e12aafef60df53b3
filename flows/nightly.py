"""The nightly flow: label what is new in a pool, report drift, renew the model if due.

python -m flows.nightly nightly.toml
python -m flows.serve nightly.toml --cron "0 2 * * *"
prefect --no-prompt deploy --prefect-file flows/prefect.yaml --all
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

from flows.runtime.calls import call, carry_out, exit_status, run_name
from flows.runtime.hooks import tell_failure
from pet.errors import PetError
from pet.jobs import Execute
from pet.nightly.nightly_config import NightlyConfig, load_nightly_config
from pet.progress import SILENT, Observer


# Nothing is tried again as a whole: the next night goes on where this one ended.
@flow(
    name="nightly",
    flow_run_name=run_name,
    task_runner=ThreadPoolTaskRunner(max_workers=1),  # type: ignore[arg-type]
    persist_result=False,
    on_failure=[tell_failure],
    on_crashed=[tell_failure],
)
def nightly(config: NightlyConfig) -> dict[str, Any] | State[Any]:
    """Label what is new or has changed in a pool folder.

    Args:
        config: what is labeled, with what, and when the model is renewed.
    """
    from flows.runtime.night_artifacts import show_night
    from pet.nightly.night import label_new

    def body(execute: Execute, observer: Observer) -> dict[str, Any]:
        return label_new(config, execute, observer)

    return carry_out("nightly", body, show_night)


def run_flow(config: NightlyConfig, observer: Observer = SILENT) -> dict[str, Any]:
    """Run the flow in this process.

    Raises:
        PetError: whatever kept the night from its end, as itself.
    """
    return call(partial(nightly, config, return_state=True), observer, _import_nightly)


def _import_nightly() -> None:
    import pet.nightly.night  # noqa: F401  (a second, in which a server can start)


def main(arguments: list[str]) -> int:
    """Run one night from a file of settings; return the exit status."""

    def work() -> None:
        if len(arguments) != 1:
            raise PetError("expected: python -m flows.nightly CONFIG")
        run_flow(load_nightly_config(Path(arguments[0])))

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
