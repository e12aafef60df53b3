"""Members: who they are, and where what belongs to them is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pet.config import RunConfig, Weighing
from pet.storage.units import derive_seed
from pet.tasks.task import Task


@dataclass(frozen=True)
class Member:
    """One model of an ensemble: a pattern's, or a linear classifier on sentence embeddings.

    Attributes:
        pattern: the pattern's name; the encoder member has none.
        repetition: number among the members that differ by their seed only.
        generation: None for a model that is not trained at all.
        kind: a held-out one is not in the ensemble: it is a pattern's model that does not learn
            from some labeled rows, so that its predictions of them are out of fold.
    """

    pattern: str
    repetition: int = 0
    generation: int | None = 0
    kind: Literal["pattern", "encoder", "held-out"] = "pattern"

    @property
    def name(self) -> str:
        """The name of its folder, of its job and in the report; part of the run folder's format."""
        if self.kind == "encoder":
            return f"encoder-g{self.generation}"
        if self.kind == "held-out":
            return f"held-out{self.generation or ''}-{self.pattern}-r{self.repetition}"
        if self.generation is None:
            return f"untrained-{self.pattern}"
        return f"g{self.generation}-{self.pattern}-r{self.repetition}"


def untrained_members(task: Task) -> list[Member]:
    """The pretrained model under every pattern, as it is."""
    return [Member(pattern.name, generation=None) for pattern in task.patterns]


def parse_member(name: str) -> Member:
    """Return the member of a name. `Member.name` the other way round."""
    head, _, rest = name.partition("-")
    if head == "encoder":
        return Member("", 0, int(rest[1:]), "encoder")
    if head == "untrained":
        return Member(rest, generation=None)
    pattern, _, repetition = rest.rpartition("-")
    return Member(pattern, int(repetition[1:]), int(head[1:]))


def member_seed(config: RunConfig, use: str, member: Member) -> int:
    """Derive a member's seed for one use, such as the rows that it draws, from the run's."""
    return derive_seed(config.seed, use, member.generation, member.pattern, member.repetition)


def folder_of(run: Path, member: Member) -> Path:
    """Where a member is kept in a run folder."""
    return run / "members" / member.name


Way = Weighing | Literal["task"]


def weighing_of(config: RunConfig, task: Task) -> Way:
    """Return how a run weighs its members: a task's own weights stand in for measured accuracy."""
    return "task" if task.weights and config.weights == "accuracy" else config.weights
