"""What one bad input is: what is written, the command that meets it, what must be said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Content = str | bytes | Callable[[Path], object]

CHECK = "check task.toml --labeled labeled.csv"
RUN = (
    "run task.toml --labeled labeled.csv --pool pool.parquet --model bert --out out --plain "
    "--preset fast --set device=cpu --set max_length=32 --set train_from=0 --set member.steps=1 "
    "--set student.steps=1 --set supervised.steps=1"
)
ZERO_SHOT = (
    "label task.toml --zero-shot --model bert --pool pool.parquet --out out "
    "--set device=cpu --set max_length=32"
)
LABEL = "label news --pool pool.parquet --out out"
EVALUATE = "evaluate news --test test.csv"


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        command: what follows `pet`, in a folder that holds the tiny task (`task.toml`,
            `labeled.csv`, `test.csv`, `pool.parquet`), its finished run `news`, and the models
            `bert` and `gpt2`.
        says: what the message must hold: of what was expected, what was found, what to do.
        write: file -> what is written there first, or the function that writes it.
        problems: how many problems must come at once.
    """

    name: str
    command: str
    says: tuple[str, ...]
    write: Mapping[str, Content] = field(default_factory=dict)
    problems: int = 1
