"""What goes on around a job: it starts with what others made, and sends what it makes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pet.errors import PetError
from pet.inputs import Inputs
from pet.members import Member
from pet.run_folders import RunFolder
from pet.runs import Unit


def bordered(home: RunFolder, work: Callable[[], Any]) -> Any:
    """Do a job between fetching what others made and sending what it makes.

    Its units are told by their place in the run folder, which may lie elsewhere in the process
    that asked.
    """
    home.fetch()
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


def about_member(inputs: Inputs, member: Member, work: Callable[[Inputs, Member], Any]) -> Any:
    """Do a job for which a member's weights are needed, where they are there already."""
    inputs.home.fetch(weights=[member.name])
    return work(inputs, member)


def _by_place(home: RunFolder, unit: Unit) -> Unit:
    return replace(unit, path=unit.path.relative_to(home.path))
