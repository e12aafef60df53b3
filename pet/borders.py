"""What goes on around a job: it starts with what others made, and sends what it makes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

from pet.errors import PetError
from pet.run_folders import NO_LABELS, RunFolder
from pet.runs import Unit


def bordered(
    home: RunFolder, work: Callable[[], Any], labels: range = NO_LABELS,
    weights: Collection[str] = (),
) -> Any:  # fmt: skip
    """Do a job between fetching what others made and sending what it makes.

    Its units are told by their place in the run folder, which may lie elsewhere in the process
    that asked.

    Args:
        labels, weights: the label files, and the members whose weights, that it may find there
            already; see `RunFolder.fetch`.
    """
    home.fetch(labels, weights=weights)
    try:
        result = work()
    except PetError:
        with contextlib.suppress(PetError):  # what is done is kept
            home.push()
        raise
    home.push()
    if isinstance(result, Unit):
        return _by_place(home, result)
    return [_by_place(home, unit) for unit in result] if isinstance(result, list) else result


def _by_place(home: RunFolder, unit: Unit) -> Unit:
    return replace(unit, path=unit.path.relative_to(home.path))
