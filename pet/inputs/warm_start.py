"""Adapters of another run that members start from (prompt transfer, Su et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pet.config import ModelRef, RunConfig
from pet.errors import InputError, Problem
from pet.models.adapter import WEIGHTS, is_adapter, read_backbone
from pet.storage.files import read_record
from pet.storage.units import DONE, file_digest, finished
from pet.tasks.task import Task, parse_task


def adapters_of(run: Path) -> list[Path]:
    """List the adapters of a run's first trained generation, by name.

    Members of other patterns or repetitions, of before the run was updated, may still lie there.
    """
    own = _members_of(run)
    found = [
        path
        for path in sorted(run.glob("members/g*"))
        if path.name.partition("-")[2] in own and is_adapter(path)
    ]
    first = {path.name.partition("-")[0] for path in found[:1]}
    return [path for path in found if path.name.partition("-")[0] in first]


def _members_of(run: Path) -> set[str]:
    """Name the members of a run, as far as they are the same in every generation."""
    toml = run / "task.toml"
    repetitions = read_record(run / "config.json").get("repetitions", 1)
    if not toml.exists():
        return set()
    patterns = parse_task(toml.read_text(encoding="utf-8"), str(toml)).patterns
    return {f"{own.name}-r{number}" for own in patterns for number in range(repetitions)}


def start_of(config: RunConfig, task: Task, pattern: str, repetition: int) -> Path | None:
    """Choose the adapter that a member starts from."""
    if config.init_from is None:
        return None
    return counterpart(adapters_of(Path(config.init_from)), task, pattern, repetition)


def counterpart(adapters: Sequence[Path], task: Task, pattern: str, repetition: int) -> Path:
    """Choose another run's adapter for a member: of its pattern's name, or else in order."""
    wanted = f"{pattern}-r{repetition}"  # behind the generation; names may end in one another
    alike = [path for path in adapters if path.name.partition("-")[2] == wanted]
    names = [own.name for own in task.patterns]
    return alike[0] if alike else adapters[names.index(pattern) % len(adapters)]


def start_digest(config: RunConfig, task: Task, pattern: str, repetition: int) -> str | None:
    """Name what a member starts from by its content."""
    start = start_of(config, task, pattern, repetition)
    return None if start is None else file_digest(start / WEIGHTS)


def start_digests(config: RunConfig, task: Task) -> list[str | None]:
    """Name what all the members start from by its content."""
    return [
        start_digest(config, task, pattern.name, repetition)
        for pattern in task.patterns
        for repetition in range(config.repetitions)
    ]


def may_start_from_another_model(config: RunConfig) -> bool:
    """Return whether members may start from another model's prompts, through a projector."""
    return config.member.tuning == "soft-prompt" and config.projector.steps > 0


def check_start(config: RunConfig, digest: str) -> None:
    """Refuse a run whose adapters cannot be started from.

    Args:
        digest: of the model that members are trained on.

    Raises:
        InputError: there are none, they are of another kind, or for another model.
    """
    if config.init_from is None:
        return
    adapters = adapters_of(Path(config.init_from))
    tuning = config.member.tuning
    known = [read_backbone(path) for path in adapters]
    found = fix = ""
    if not adapters:
        found, fix = "none", "give the folder of a run that was made with member.tuning"
    elif others := sorted({str(own.get("tuning")) for own in known} - {tuning}):
        found, fix = f"of {', '.join(others)}", f"--set member.tuning={others[0]}"
    elif not may_start_from_another_model(config) and (
        config.adapt_steps or any(own.get("digest") != digest for own in known)
    ):
        made_for = ModelRef(str(known[0].get("ref")), known[0].get("revision"))
        found, fix = "for another model", f"--model {made_for.written}, without adapt_steps"
        fix += ", or --set projector.steps=100" * (tuning == "soft-prompt")
    elif damage := [path for path in adapters if not _is_whole(path)]:
        found, fix = f"{damage[0].name}, which was changed", "give that run's `pet run` again"
    if found:
        wanted = f"a run with adapters ({tuning}) for {config.model}"
        raise InputError(Problem(f"setting init_from, {config.init_from}", wanted, found, fix))


def _is_whole(folder: Path) -> bool:
    return finished(folder, str(read_record(folder / DONE).get("fingerprint")))[0]
