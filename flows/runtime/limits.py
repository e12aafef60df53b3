"""One run on a machine at a time: two would share its GPU, and each would take more than twice."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import deployment

LEASE_SECONDS = 60.0  # how long the next run waits for one that was killed


def limit_name() -> str:
    """Name this machine's limit; `prefect gcl update NAME --limit 2` lets two runs in."""
    return f"pet-{socket.gethostname()}"


@contextlib.contextmanager
def one_at_a_time(note: Callable[[str], None]) -> Iterator[None]:
    """Hold this machine's slot; a limit that is there keeps the number that a person gave it.

    Runs of deployments only: a person who runs two by hand sees both.
    """
    if deployment.id is None:
        yield
        return
    name = limit_name()
    _make_limit(name)
    note(f"waiting for this machine's slot ({name})")
    with concurrency(name, occupy=1, strict=True, lease_duration=LEASE_SECONDS):
        yield


def _make_limit(name: str) -> None:
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            # Another run may make it at the same moment.
            with contextlib.suppress(ObjectAlreadyExists):
                client.create_global_concurrency_limit(
                    GlobalConcurrencyLimitCreate(name=name, limit=1)
                )
