"""Serve the nightly flow on a schedule, from one long process.

    export PREFECT_API_URL=http://127.0.0.1:4200/api     # of `prefect server start`
    python -m flows.serve nightly.toml --cron "0 2 * * *" --timezone Europe/Berlin

For several machines, or queues: work pools and `flows/prefect.yaml`; see flows/nightly.md.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import answer, err
from flows.runtime.server import check_reachable, prepare
from pet.errors import InputError, Problem
from pet.nightly.ledger import unit_name
from pet.nightly.nightly_config import NightlyConfig, load_nightly_config


def main(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="settings of the nights")],
    cron: Annotated[str, typer.Option(help="when: minute hour day month weekday")] = "0 2 * * *",
    timezone: Annotated[str, typer.Option(help="of the times, such as Europe/Berlin")] = "UTC",
) -> None:
    """Label what is new, at every time of the schedule; ends with Ctrl-C."""
    prepare(console_level=os.environ.get("PREFECT_LOGGING_LEVEL", "INFO"))

    def note(line: str) -> None:
        err.print(f"warning: {line}", markup=False, soft_wrap=True)

    answer(lambda: serve_nights(load_nightly_config(config, note), cron, timezone), debug=False)


def serve_nights(settings: NightlyConfig, cron: str, timezone: str) -> None:
    """Register the deployment and carry its runs out, one at a time.

    Raises:
        InputError: there is no Prefect server, or the schedule is none.
    """
    from prefect import serve
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron
    from prefect.settings import get_current_settings
    from prefect.types.entrypoint import EntrypointType

    from flows.nightly import nightly

    if url := get_current_settings().api.url:
        check_reachable(url)
    else:
        raise InputError(
            Problem(
                "PREFECT_API_URL",
                "the address of a Prefect server",
                "nothing",
                "start one with `prefect server start`, and set "
                "PREFECT_API_URL=http://127.0.0.1:4200/api",
            )
        )
    try:
        schedule = Cron(cron, timezone=timezone)
        # A night that is still at it when the next is due makes that one superfluous.
        limit = ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        )
        deployment = nightly.to_deployment(
            name=deployment_name(Path(settings.out)),
            schedule=schedule,
            concurrency_limit=limit,
            parameters={"config": settings.model_dump(mode="json")},
            tags=["pet"],
            description=f"labels what is new in the pool, into {settings.out}",
            version_type=None,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError as error:
        raise InputError(
            Problem(
                "--cron, --timezone",
                "five fields such as '0 2 * * *', and a known zone",
                f"{cron!r}, {timezone!r}: {error}",
                "correct them",
            )
        ) from None
    assert isinstance(deployment, RunnerDeployment), "outside of an event loop it is no coroutine"
    # The schedule is shared: where this process is replaced, another one serves it by then.
    serve(deployment, limit=1, pause_on_shutdown=False)


def deployment_name(store: Path) -> str:
    """Name a store's deployment: readable, and another one for a folder of the same name."""
    place = store.absolute()
    return unit_name(place.name, str(place.parent))


if __name__ == "__main__":
    typer.run(main)
