"""Faults by number: `make faults SCHEDULE=7` plays one again, operation for operation."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pet.errors import PetError
from pet.storage.files import TEMPORARY_PREFIX
from tests.faults.disk import KINDS, YEARS, Disk, Fault, Killed
from tests.faults.scenarios import Scenario, Whole, contents

LARGEST_ROOM = 5000  # bytes of a file on a disk that becomes full: the largest tiny file has more
TRIES = 2  # the next command may be refused; the one after it has to make the same bytes


@dataclass
class Play:
    """A schedule that was played.

    Attributes:
        lines: what happened.
        happened: the faults whose operation came.
    """

    number: int
    scenario: str
    lines: list[str] = field(default_factory=list)
    happened: list[Fault] = field(default_factory=list)


def play(number: int, among: Sequence[Scenario]) -> Play:
    """Start a command once, twice or three times with a fault, then without; compare it.

    Everything is drawn from the number: the command, the faults, and at which operation.

    Raises:
        AssertionError: an error is none of ours, a half-written file is visible or stays, or the
            bytes are others than undisturbed ones.
    """
    rng = random.Random(number)
    scenario = rng.choice(among)
    whole = scenario.undisturbed
    before = scenario.prepare()
    played = Play(number, scenario.name)
    for _ in range(rng.randint(1, 3)):
        fault = draw(rng, whole.operations)
        with Disk(scenario.place, fault, lambda: attempt(scenario)) as disk:
            outcome = attempt(scenario)
        played.lines.append(f"{fault}: {outcome}" + ("" if disk.happened else " (not reached)"))
        if disk.happened:
            played.happened.append(fault)
        if fault.kind == "wrong clock":
            date_wrongly(scenario, rng)
        check_visible(played, scenario, before, whole)
    for _ in range(TRIES):
        outcome = attempt(scenario)
        played.lines.append(f"undisturbed: {outcome}")
        if outcome == "done":
            break
    found = contents(scenario.place)
    names = sorted(found.keys() | whole.contents.keys())
    others = [name for name in names if found.get(name) != whole.contents.get(name)]
    assert not others, describe(played, f"not as in the undisturbed run: {', '.join(others)}")
    left = [str(path) for path in scenario.place.rglob(f"{TEMPORARY_PREFIX}*")]
    assert not left, describe(played, f"temporary files stay: {', '.join(left)}")
    return played


def draw(rng: random.Random, operations: Counter[str]) -> Fault:
    """Draw a fault: evenly among kinds, then among the operations that it may happen at."""
    kind = rng.choice(list(KINDS))
    operation = rng.choice([name for name in KINDS[kind] if operations[name]])
    return Fault(
        kind,
        operation,
        rng.randint(1, operations[operation]),
        after=rng.random() < 0.5,
        room=rng.choice((0, rng.randint(1, LARGEST_ROOM))),
        shift=rng.uniform(-YEARS, YEARS),
        undone=rng.random() < 0.5,
    )


def attempt(scenario: Scenario) -> str:
    """Give the command; return how it ended. Only our own errors are one screen for a user."""
    try:
        scenario.start()
    except Killed:
        return "killed"
    except PetError as error:
        problems = error.problems
        return f"refused: {problems[0].where}: {problems[0].found}" if problems else f"{error}"
    return "done"


def check_visible(played: Play, scenario: Scenario, before: dict[str, str], whole: Whole) -> None:
    """Refuse a file that stands there under its final name and is neither old nor whole.

    And what a reader makes of all files together: what was there, what will be there, or nothing.
    """
    for name, content in contents(scenario.place).items():
        known = (before.get(name), whole.contents.get(name))
        assert content in known, describe(played, f"{name} is half a file, or another one")
    seen = scenario.see()
    assert seen in whole.seen, describe(played, f"a reader sees {seen}, not one of {whole.seen}")


def date_wrongly(scenario: Scenario, rng: random.Random) -> None:
    """Give every file a time of its own, years ago or ahead."""
    for path in sorted(scenario.place.rglob("*")):
        time = 1.7e9 + rng.uniform(-YEARS, YEARS)
        os.utime(path, (time, time))


def describe(played: Play, what: str) -> str:
    lines = "\n  ".join(played.lines)
    return f"SCHEDULE={played.number} ({played.scenario}): {what}\n  {lines}"
