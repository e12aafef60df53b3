"""Kill and stop real runs at random moments: `make faults`, `make faults SEED=7`."""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import time
from pathlib import Path

from tests.faults.disturbance import Tally, aim, disturb_many
from tests.faults.prefects import kill_the_server, lock_the_database
from tests.faults.runs import undisturbed

PER_RUN = 6
STOPS = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="SIGKILLs, in runs with --plain")
    parser.add_argument("--stops", type=int, default=12, help="SIGTERMs and SIGINTs, likewise")
    parser.add_argument("--prefect", type=int, default=6, help="signals in runs by Prefect")
    parser.add_argument("--seed", type=int, default=None, help="repeats the draws of a run")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}: to draw the same moments again, SEED={seed}", flush=True)
    rng, tally, started = random.Random(seed), Tally(), time.monotonic()

    def note(line: str) -> None:
        print(line, flush=True)

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
