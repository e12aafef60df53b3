"""What happens when a run fails: an event with the reason, for automations to act on."""

from __future__ import annotations

from typing import Any

from prefect.events import emit_event

FAILED = "pet.run.failed"


# Prefect calls hooks by these names.
def tell_failure(flow: Any, flow_run: Any, state: Any) -> None:
    """Emit `pet.run.failed`: which flow, which run folder or store, and what was wrong."""
    config = flow_run.parameters.get("config") or {}
    out = config.get("out", "") if isinstance(config, dict) else config.out
    emit_event(
        FAILED,
        resource={
            "prefect.resource.id": f"pet.{flow.name}.{flow_run.id}",
            "prefect.resource.name": str(out),
        },
        payload={
            "flow": flow.name,
            "flow_run": str(flow_run.id),
            "out": str(out),
            "state": state.name,
            "message": state.message or "",
            "fix": "look at the message; what is done is kept, and the next run goes on",
        },
    )
