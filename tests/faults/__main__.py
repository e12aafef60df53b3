"""Faults at drawn operations, kills at random moments: `make faults`, also with SEED=7.

`make faults SCHEDULE=7` plays one schedule of faults alone, again; `DAMAGE=7` damages one file.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from pet.pipeline import label_pool
from tests.faults.damage import damage
from tests.faults.disturbance import Tally, aim, disturb_many
from tests.faults.prefects import kill_the_server, lock_the_database
from tests.faults.runs import undisturbed
from tests.faults.scenarios import Samples, scenarios
from tests.faults.schedules import play
from tests.faults.targets import targets
from tests.support import samples, shortcuts
from tests.support.tiny_models import save_model

PER_RUN = 6
STOPS = (signal.SIGTERM, signal.SIGINT)


def play_schedules(folder: Path, numbers: Iterable[int], note: Callable[[str], None]) -> None:
    """Play schedules of faults on a tiny model in this process.

    Raises:
        SystemExit: some did not end as undisturbed commands do; each was reported.
    """
    shortcuts.take(charts=True, disk=True)
    among = scenarios(starting_from(folder), folder / "places")
    kinds: Counter[str] = Counter()
    failed, started = [], time.monotonic()
    for number in (numbers := list(numbers)):
        try:
            played = play(number, among)
        except Exception as error:
            failed.append(number)
            note(f"schedule {number}: {type(error).__name__}: {error}")
            continue
        kinds.update(fault.kind for fault in played.happened)
        if len(numbers) == 1:
            note("\n  ".join([f"schedule {number}, {played.scenario}:", *played.lines]))
    shortcuts.take(charts=False, disk=False)
    happened = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    note(f"{len(numbers)} schedules in {time.monotonic() - started:.0f} s: {happened}")
    if failed:
        raise SystemExit(f"not as undisturbed: SCHEDULE={' '.join(map(str, failed))}")


def damage_files(folder: Path, numbers: Iterable[int], note: Callable[[str], None]) -> None:
    """Damage files that are read, one after another, in this process.

    Raises:
        SystemExit: some were neither refused nor read as is right; each was reported.
    """
    shortcuts.take(charts=True, disk=True)
    among = targets(starting_from(folder), folder / "places")
    failed, refused, began = [], 0, time.monotonic()
    for number in (numbers := list(numbers)):
        try:
            ended = damage(number, among)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            failed.append(number)
            trace = "".join(traceback.format_exception(error)[-4:])
            note(f"damage {number}: {trace}")
            continue
        refused += ended.endswith("refused")
        if len(numbers) == 1:
            note(ended)
    shortcuts.take(charts=False, disk=False)
    seconds = time.monotonic() - began
    note(f"{len(numbers)} damaged files in {seconds:.0f} s: {refused} refused, the others read")
    if failed:
        raise SystemExit(
            f"neither refused nor read as is right: DAMAGE={' '.join(map(str, failed))}"
        )


def starting_from(folder: Path) -> Samples:
    """Make what schedules and damage start from: texts, a tiny model and its finished run."""
    inputs, model = samples.write_inputs(folder / "inputs"), save_model("bert", folder / "bert")
    out = folder / "finished" / "news"
    label_pool(samples.tiny_config(inputs, model, out))
    return Samples(inputs, model, out)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--schedule", type=int, help="play this schedule of faults, nothing else")
    parser.add_argument("--schedules", type=int, default=1000, help="schedules of faults")
    parser.add_argument("--damage", type=int, help="damage this file, do nothing else")
    parser.add_argument("--damages", type=int, default=10_000, help="damaged files")
    parser.add_argument("--kills", type=int, default=60, help="SIGKILLs, in runs with --plain")
    parser.add_argument("--stops", type=int, default=12, help="SIGTERMs and SIGINTs, likewise")
    parser.add_argument("--prefect", type=int, default=6, help="signals in runs by Prefect")
    parser.add_argument("--seed", type=int, default=None, help="repeats the draws of a run")
    options = parser.parse_args()

    def note(line: str) -> None:
        print(line, flush=True)

    def several(one: int | None, other: int | None, count: int) -> Iterable[int]:
        """Return the number that is asked for; none, if another thing is."""
        if one is not None:
            return [one]
        return range(count if other is None else 0)

    schedules = several(options.schedule, options.damage, options.schedules)
    damages = several(options.damage, options.schedule, options.damages)
    for play_all, numbers in ((play_schedules, schedules), (damage_files, damages)):
        if numbers:
            with tempfile.TemporaryDirectory(prefix="pet-faults-") as name:
                play_all(Path(name), numbers, note)
    if options.schedule is not None or options.damage is not None:
        return
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}: to draw the same moments again, SEED={seed}", flush=True)
    rng, tally, started = random.Random(seed), Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pet-faults-") as name:
        folder = Path(name)
        whole = undisturbed(folder / "undisturbed")
        note(
            f"undisturbed: {sum(whole.stages.values()):.0f} s in {len(whole.stages)} stages, "
            f"{len(whole.digests)} files to compare"
        )
        stops = [STOPS[number % 2] for number in range(options.stops)]
        plan = [signal.SIGKILL] * options.kills + stops
        rng.shuffle(plan)
        disturb_many(folder, aim(plan, whole, rng), PER_RUN, whole, rng, tally, note=note)
        mixed = [(signal.SIGKILL, *STOPS)[number % 3] for number in range(options.prefect)]
        hits = aim(mixed, whole, rng)
        disturb_many(folder, hits, 3, whole, rng, tally, plain=False, note=note)
        if options.prefect:
            kill_the_server(folder / "server", whole)
            lock_the_database(folder / "database", whole)
            note("a Prefect server that was killed was replaced; a locked database was reported\n")
    sent = ", ".join(f"{count} {number.name}" for number, count in tally.signals.items())
    note(
        f"\nseed {seed}: {sent} in {time.monotonic() - started:.0f} s; all {tally.runs} runs "
        f"ended with the bytes of the undisturbed one\n"
        f"a stop took {tally.slowest:.1f} s at the most\n"
    )
    for stage in whole.stages:
        note(f"  {tally.stages[stage]:>3}  {stage}")


if __name__ == "__main__":
    main()
