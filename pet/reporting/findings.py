"""What a report finds worth saying of a run: the form of such a finding, and its words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pet.reporting.report_file import Report

Level = Literal["serious", "care", "note", "good"]
LEVELS: tuple[Level, ...] = ("serious", "care", "note", "good")


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know, and what to do about it."""

    level: Level
    title: str
    text: str
    action: str = ""
    command: str = ""


# A rule looks at a report and has something to say of it, or not; the run's folder is quoted for
# the commands that it names.
Rule = Callable[[Report, str], Finding | None]


def percent(share: float | None) -> str:
    """Write a share as a reader expects it; what is not known is a dash."""
    return "–" if share is None else f"{100 * share:.1f}\u202f%"


def quoted(name: str) -> str:
    """Quote a name from the data; isolated, so that it keeps its own direction of writing."""
    return f"“\u2068{name}\u2069”"
