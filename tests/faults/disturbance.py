"""Signals at random moments: a run is started again until it ends, then every byte is compared."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pet.errors import Interrupted
from tests.faults.runs import (
    END,
    LONGEST,
    START,
    Run,
    Undisturbed,
    command_to_go_on,
    digests,
    wait_for_work,
)

IMPORTS = 5.0  # seconds in which a process may load what its first work needs


@dataclass(frozen=True)
class Hit:
    """A signal, and the stage that it is aimed at; the moment in the stage is left to chance."""

    signal: signal.Signals
    stage: str


@dataclass
class Tally:
    """What has been done to runs so far.

    Attributes:
        stages: how often a run was hit in each stage.
        slowest: the longest time that a run took to heed a request to stop, in seconds.
    """

    runs: int = 0
    stages: Counter[str] = field(default_factory=Counter)
    signals: Counter[signal.Signals] = field(default_factory=Counter)
    slowest: float = 0.0

    @property
    def disturbed(self) -> int:
        return self.signals.total()


def disturb(
    run: Run,
    hits: Sequence[Hit],
    whole: Undisturbed,
    rng: random.Random,
    tally: Tally,
    note: Callable[[str], None] = print,
) -> int:
    """Start a run again and again, a hit each time; let it end, and compare it.

    Args:
        hits: in the order of the stages that they are aimed at.

    Returns:
        how many hits there were; fewer than given where the run ended before.

    Raises:
        AssertionError: a file differs from the undisturbed run's, or a stop was not heeded.
    """
    command, sent = run.command(), 0
    for hit in hits:
        process = run.start(command)
        wait_for_moment(run, process, hit, whole, rng)
        process.send_signal(hit.signal)  # to a process that has ended: nothing happens
        asked = time.monotonic()
        _, said = process.communicate(timeout=LONGEST)
        if process.returncode == 0:
            break
        if hit.signal == signal.SIGKILL:
            assert process.returncode == -signal.SIGKILL, (process.returncode, said)
        else:
            assert process.returncode == Interrupted.exit_status, (process.returncode, said)
            assert "Traceback" not in said, said
            command = command_to_go_on(said)
            tally.slowest = max(tally.slowest, time.monotonic() - asked)
        done = run.stages() if hit.stage != START else {}
        stage = next((name for name in whole.stages if name not in {START, *done}), END)
        tally.stages[START if hit.stage == START else stage] += 1
        tally.signals[hit.signal] += 1
        sent += 1
        note(f"  {hit.signal.name} in {START if hit.stage == START else stage}")
    run.finish(command)
    compare(run, whole)
    tally.runs += 1
    return sent


def wait_for_moment(
    run: Run, process: subprocess.Popen[str], hit: Hit, whole: Undisturbed, rng: random.Random
) -> None:
    """Wait until the stage that is aimed at has begun, and then for a random part of it."""
    seconds = whole.stages[hit.stage]
    if hit.stage != START:
        order = list(whole.stages)
        before = order[order.index(hit.stage) - 1]
        was_done = before in run.stages()
        if not wait_for_work(run, process):
            return
        while before not in {START, *run.stages()} and process.poll() is None:
            time.sleep(0.002)
        if was_done:  # an earlier process came as far: this one loads, and looks what is there
            seconds += IMPORTS
    moment = time.monotonic() + rng.uniform(0, seconds)
    while time.monotonic() < moment and process.poll() is None:
        time.sleep(0.002)


def compare(run: Run, whole: Undisturbed) -> None:
    """Hold every file of a run against the undisturbed run's.

    Raises:
        AssertionError: some differ, are missing, or are too many.
    """
    found = digests(run.out)
    assert any(name.startswith("labels/part-") for name in found)
    assert any(name.startswith("soft_labels/part-") for name in found)
    assert "student/model.safetensors" in found
    names = sorted(found.keys() | whole.digests.keys())
    other = [name for name in names if found.get(name) != whole.digests.get(name)]
    assert not other, f"{run.out}: not as in the undisturbed run: {', '.join(other)}"


def aim(signals: Sequence[signal.Signals], whole: Undisturbed, rng: random.Random) -> list[Hit]:
    """Aim signals at all stages evenly, in random order."""
    stages = list(whole.stages)
    turns = -(-len(signals) // len(stages))
    every = [stage for _ in range(turns) for stage in rng.sample(stages, len(stages))]
    # Before a run works on its folder nobody has asked it to heed anything.
    return [
        Hit(number if stage != START else signal.SIGKILL, stage)
        for number, stage in zip(signals, every, strict=False)
    ]


def disturb_many(
    folder: Path,
    hits: Sequence[Hit],
    per_run: int,
    whole: Undisturbed,
    rng: random.Random,
    tally: Tally,
    *,
    plain: bool = True,
    note: Callable[[str], None] = print,
) -> None:
    """Spend all hits, so many on a run; a run that came out right is removed."""
    order = list(whole.stages)
    left, number = list(hits), 0
    while left:
        run = Run(folder / f"run-{'plain' if plain else 'prefect'}-{number}", plain)
        note(f"run {number}{'' if plain else ', by Prefect'}:")
        own = sorted(left[:per_run], key=lambda hit: order.index(hit.stage))
        sent = disturb(run, own, whole, rng, tally, note)
        # What came too late is spent on the next run, unless it was the only one of this.
        left = own[max(sent, 1) :] + left[per_run:]
        shutil.rmtree(run.folder)
        number += 1
