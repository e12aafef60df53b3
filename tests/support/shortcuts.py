"""What a test is not about and may be spared: matplotlib's drawing, waiting for the disk, and to
have transformers load the same bytes of a model again.

They are half of a tiny run. Tests marked `charts` have charts drawn, those marked `durable`
wait for the disk, and every process that a test starts does all of it.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pet.reporting import plots

_draw, _sync = plots.to_svg, os.fsync
NO_CHART = '<svg viewBox="0 0 1 1"></svg>'


def _no_chart(name: str, draw: Callable[..., None], height: float = 0.0) -> str:
    return NO_CHART


def _no_sync(descriptor: int) -> None:
    return None


class _Copying:
    """Loads a model, or copies what was loaded of these very files."""

    most = 30  # tiny models that are kept

    def __init__(self, load: Callable[..., Any]):
        self.load = load
        self.loaded: dict[tuple[Any, ...], Any] = {}

    def __call__(self, kind: Any, ref: Any) -> Any:
        folder = Path(ref.name)
        if not folder.is_dir():
            return self.load(kind, ref)
        stats = [(file.name, file.stat()) for file in sorted(folder.iterdir())]
        key = (kind, ref, *((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in stats))
        if key in self.loaded:
            return copy.deepcopy(self.loaded[key])
        found = self.load(kind, ref)
        self.loaded[key] = copy.deepcopy(found)  # which holds no file open
        if len(self.loaded) > self.most:
            del self.loaded[next(iter(self.loaded))]
        return found


def take(*, charts: bool, disk: bool, loading: bool = False) -> None:
    """Take these shortcuts, and no others."""
    plots.to_svg = _no_chart if charts else _draw
    os.fsync = _no_sync if disk else _sync
    _take_copies(loading)


_copying: list[_Copying] = []  # the one, once transformers is imported


def _take_copies(wanted: bool) -> bool:
    """Copy models that have been loaded, or not; return whether they were before."""
    module: Any = sys.modules.get("pet.models.loading")  # which takes seconds to import
    if module is None:
        return False
    if not _copying:
        _copying.append(_Copying(module.from_safetensors))
    before = module.from_safetensors is _copying[0]
    module.from_safetensors = _copying[0] if wanted else _copying[0].load
    return before


@contextmanager
def none() -> Iterator[None]:
    """Take none in this block."""
    before = plots.to_svg, os.fsync
    copied = _take_copies(False)
    take(charts=False, disk=False)
    try:
        yield
    finally:
        plots.to_svg, os.fsync = before
        _take_copies(copied)
