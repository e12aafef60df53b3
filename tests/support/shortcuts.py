"""What a test is not about and may be spared: matplotlib's drawing, waiting for the disk.

They are a third of a tiny run. Tests marked `charts` have charts drawn, those marked `durable`
wait for the disk, and so does every process that a test starts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pet.reporting import plots

_draw, _sync = plots.to_svg, os.fsync
NO_CHART = '<svg viewBox="0 0 1 1"></svg>'


def _no_chart(name: str, draw: Callable[..., None], height: float = 0.0) -> str:
    return NO_CHART


def _no_sync(descriptor: int) -> None:
    return None


def take(*, charts: bool, disk: bool) -> None:
    """Take these shortcuts, and no others."""
    plots.to_svg = _no_chart if charts else _draw
    os.fsync = _no_sync if disk else _sync


@contextmanager
def none() -> Iterator[None]:
    """Take none in this block."""
    before = plots.to_svg, os.fsync
    take(charts=False, disk=False)
    try:
        yield
    finally:
        plots.to_svg, os.fsync = before
