"""What can go wrong, in words a user can act on: expected, found, fix."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in what a user gave us.

    Attributes:
        where: the file, and the place in it (``tickets.toml, patterns.topic``).
        expected: what would have been right.
        found: what stands there instead.
        fix: what to do about it.
    """

    where: str
    expected: str
    found: str
    fix: str

    def __str__(self) -> str:
        return (
            f"{self.where}\n"
            f"  expected: {self.expected}\n"
            f"  found:    {self.found}\n"
            f"  fix:      {self.fix}"
        )


class PetError(Exception):
    """A run failed for a reason that we can name. Exit status 1."""

    exit_status = 1


class InputError(PetError, ValueError):
    """The user's input is wrong; every problem that was found is listed once. Exit status 2.

    It is a `ValueError` too: that is what callers of scikit-learn's estimators expect.
    """

    exit_status = 2

    def __init__(self, problems: Problem | Iterable[Problem]):
        found = [problems] if isinstance(problems, Problem) else problems
        self.problems = list(dict.fromkeys(found))  # one file may be met in two roles
        assert self.problems, "an InputError names at least one problem"
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[InputError], tuple[list[Problem]]]:
        """Survive the way from one process to another."""
        return type(self), (self.problems,)


def group_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Make one problem of those that differ only in the file."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for problem in problems:
        key = (problem.expected, problem.found, problem.fix)
        groups.setdefault(key, []).append(problem.where)
    grouped = []
    for (expected, found, fix), places in groups.items():
        more = f" and {len(places) - 3:,} more files" if len(places) > 3 else ""
        grouped.append(Problem(", ".join(places[:3]) + more, expected, found, fix))
    return grouped


def input_error(path: Path, expected: str, found: str, fix: str) -> InputError:
    """Make an error of one problem with a file."""
    return InputError(Problem(str(path), expected, found, fix))


def first_line(error: Exception) -> str:
    """Cut a message down to its first line; without a message, name the error."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def unsteady(path: Path | str, error: OSError) -> PetError:
    """Make the error of a file that the disk or the network stopped giving."""
    return PetError(
        f"{path}\n  expected: a file that can be read to its end\n  found:    {error.strerror}\n"
        "  fix:      look after the file, then give the same command again: it goes on"
    )


def missing_package(package: str, extra: str, purpose: str) -> InputError:
    """Say what to install for something that not everybody needs."""
    return InputError(
        Problem(
            purpose, f"the package {package}", "it is not installed", f"pip install 'pet[{extra}]'"
        )
    )


class LockedError(PetError):
    """Another live process is working on this run: wait, or choose another folder."""

    exit_status = 2


class Interrupted(PetError):
    """The user asked to stop; what is done is kept, and the same command goes on."""

    exit_status = 130


def gather(problems: list[Problem], read: Callable[[], T]) -> T | None:
    """Read something; put what is wrong with it into `problems` and go on."""
    try:
        return read()
    except InputError as error:
        problems += error.problems
        return None


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """Return the allowed name that is nearest to `found`, or "" when none is near."""
    names = {name.casefold(): name for name in sorted(allowed)}
    near = difflib.get_close_matches(found.strip().casefold(), names, n=1)
    return names[near[0]] if near else ""
