"""Units of work by name; what executes them is the caller's choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Job:
    """One unit of work: its name, and the function that makes or reuses it."""

    name: str
    work: Callable[[], Any]


class Execute(Protocol):
    """Run independent jobs and return their results in order."""

    def __call__(self, jobs: Sequence[Job]) -> list[Any]: ...


def plainly(jobs: Sequence[Job]) -> list[Any]:
    """Run the jobs one after another in this process."""
    return [job.work() for job in jobs]
