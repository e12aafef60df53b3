"""Faults at drawn operations, kills at random moments: `make faults`, also with SEED=7.

`make faults SCHEDULE=7` plays one schedule of faults alone, again.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from pet.pipeline import label_pool
from tests.faults.disturbance import Tally, aim, disturb_many
from tests.faults.prefects import kill_the_server, lock_the_database
from tests.faults.runs import undisturbed
from tests.faults.scenarios import Samples, scenarios
from tests.faults.schedules import play
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
    inputs, model = samples.write_inputs(folder / "inputs"), save_model("bert", folder / "bert")
    out = folder / "finished" / "news"
    label_pool(samples.tiny_config(inputs, model, out))
    among = scenarios(Samples(inputs, model, out), folder / "places")
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--schedule", type=int, help="play this schedule of faults, nothing else")
    parser.add_argument("--schedules", type=int, default=1000, help="schedules of faults")
    parser.add_argument("--kills", type=int, default=60, help="SIGKILLs, in runs with --plain")
    parser.add_argument("--stops", type=int, default=12, help="SIGTERMs and SIGINTs, likewise")
    parser.add_argument("--prefect", type=int, default=6, help="signals in runs by Prefect")
    parser.add_argument("--seed", type=int, default=None, help="repeats the draws of a run")
    options = parser.parse_args()

    def note(line: str) -> None:
        print(line, flush=True)

    one = None if options.schedule is None else [options.schedule]
    with tempfile.TemporaryDirectory(prefix="pet-schedules-") as name:
        play_schedules(Path(name), one or range(options.schedules), note)
    if one:
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
