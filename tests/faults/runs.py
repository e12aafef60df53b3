"""Real runs of the real tiny model, in processes of their own, to be disturbed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pet.storage.files import TEMPORARY_PREFIX, read_record
from pet.storage.locks import LOCK
from pet.storage.units import file_digest
from tests.support.tickets import REPOSITORY, run_command

# Every stage there is, in seconds: two patterns, one generation after the first, three shards.
SETTINGS = ("train_from=0", "generations=1", "growth_factor=2", "adapt_steps=4",
            "member.steps=8", "student.steps=12",
            "supervised.steps=4", "max_length=32", "shard_rows=20")  # fmt: skip
# Other than these, no file of two runs may differ: they hold times, and where the run lies.
OF_THEIR_OWN = {"manifest.json", "report.json", "report.html", "config.json", LOCK}
LONGEST = 600.0  # seconds after which a process counts as hanging


@dataclass(frozen=True)
class Run:
    """A run folder, and the command that fills it; its name is in the student's model card."""

    folder: Path
    plain: bool = True

    @property
    def out(self) -> Path:
        return self.folder / "tickets"

    def command(self) -> list[str]:
        """Return what follows `pet`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        plain = ["--plain"] if self.plain else []
        return run_command(self.folder / "tickets.toml", self.out, SETTINGS, *plain)

    def start(self, command: list[str] | None = None) -> subprocess.Popen[str]:
        """Start `pet` with a command, by default the run's own."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *(command or self.command())],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # A history of its own for Prefect, on the same disk.
            env={**os.environ, "XDG_STATE_HOME": str(self.folder / "state"), "COLUMNS": "100"},
        )

    def finish(self, command: list[str] | None = None) -> None:
        """Start it, and let it end.

        Raises:
            AssertionError: it failed, or left something half-written.
        """
        process = self.start(command)
        _, said = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, f"exit status {process.returncode}:\n{said}"
        leftovers = list(self.out.rglob(f"{TEMPORARY_PREFIX}*"))
        assert not leftovers, f"half-written pieces stay: {leftovers}"

    def is_held_by(self, process: subprocess.Popen[str]) -> bool:
        """Say whether a process works on the run by now."""
        try:
            return (self.out / LOCK).read_text().startswith(f"process {process.pid} on ")
        except OSError:
            return False

    def stages(self) -> dict[str, float]:
        """Return the stages that have been done, by this process or one before, and seconds."""
        stages = read_record(self.out / "manifest.json").get("stages", {})
        return {name: stage["seconds"] for name, stage in stages.items()}


def digests(out: Path) -> dict[str, str]:
    """Name the content of every file that two runs must have alike."""
    files = (path for path in out.rglob("*") if path.is_file())
    return {
        path.relative_to(out).as_posix(): file_digest(path)
        for path in sorted(files)
        if path.relative_to(out).as_posix() not in OF_THEIR_OWN
    }


START, END = "start", "report"


def wait_for_work(run: Run, process: subprocess.Popen[str]) -> bool:
    """Wait until a process works on the run; return False if it ended before."""
    deadline = time.monotonic() + LONGEST
    while not run.is_held_by(process):
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "the run does not begin"
        time.sleep(0.005)
    return True


@dataclass(frozen=True)
class Undisturbed:
    """What a run comes to when nobody disturbs it.

    Attributes:
        stages: what it does in turn, with the seconds that each takes: first `START`, until it
            works on its folder, last `END`, the report.
    """

    digests: dict[str, str]
    stages: dict[str, float]


def undisturbed(folder: Path) -> Undisturbed:
    """Run it once, and measure it."""
    run = Run(folder)
    started = time.monotonic()
    process = run.start()
    at_work = wait_for_work(run, process)
    startup = time.monotonic() - started
    _, said = process.communicate(timeout=LONGEST)
    assert at_work, f"it never began:\n{said}"
    assert process.returncode == 0, said
    return Undisturbed(digests(run.out), {START: startup, **run.stages(), END: 0.1})


def command_to_go_on(said: str) -> list[str]:
    """Return what follows `pet` in the command that a stopped run prints."""
    lines = said.splitlines()
    assert "what is done is kept; to go on:" in lines, f"no word on how to go on:\n{said}"
    name, *command = shlex.split(lines[lines.index("what is done is kept; to go on:") + 1])
    assert name == "pet", said
    return command
