"""Errors that a user can act on: what was expected, what was found, what to do."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

# What to do about a missing or damaged part of a run.
RUN_AGAIN = "give the run's `pet run` command again: it is made anew"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: in the user's input, or in what a run needs.

    Attributes:
        where: the file, and the place in it (``tickets.toml, patterns.topic``); "" for none.
        expected: what would have been right.
        found: what is there instead.
        fix: what to do about it; "" if nothing can be advised.
    """

    where: str
    expected: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        lines = [f"expected: {self.expected}", f"  found:    {self.found}"]
        if self.where:
            lines[:1] = [self.where, f"  {lines[0]}"]
        if self.fix:
            lines.append(f"  fix:      {self.fix}")
        return "\n".join(lines)


def in_one_line(problem: Problem) -> str:
    """Describe what is a warning rather than an error."""
    return f"{problem.where}: {problem.found}; {problem.fix}"


class PetError(Exception):
    """A run failed for a known reason. Exit status 1.

    Attributes:
        problems: each problem once; empty if the message is plain text.
    """

    exit_status = 1

    def __init__(self, message: str | Problem | Iterable[Problem] = ""):
        self.problems: list[Problem] = []
        if not isinstance(message, str):
            found = [message] if isinstance(message, Problem) else message
            self.problems = list(dict.fromkeys(found))  # one file may be met in two roles
            assert self.problems, "an error names at least one problem"
            message = "\n".join(map(str, self.problems))
        super().__init__(message)


class InputError(PetError, ValueError):
    """The user's input is wrong; every problem that was found is listed once. Exit status 2.

    It is a `ValueError` too: that is what callers of scikit-learn's estimators expect.
    """

    exit_status = 2

    def __init__(self, problems: Problem | Iterable[Problem]):
        super().__init__(problems)

    def __reduce__(self) -> tuple[type[InputError], tuple[list[Problem]]]:
        """Pickle the problems, from which the message follows."""
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


def first_line(error: BaseException) -> str:
    """Cut a message down to its first line; without a message, name the error."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def outage(where: Path | str, expected: str, found: str | None, what: str) -> PetError:
    """Make the error of something outside that failed; a later start goes on from here.

    Args:
        what: what the user has to look after.
    """
    fix = f"look after {what}, then give the same command again: it goes on"
    return PetError(Problem(str(where), expected, str(found), fix))


def interrupted_read(path: Path | str, error: OSError) -> PetError:
    """Make the error of a file of which the disk or the network stopped delivering bytes."""
    return outage(path, "a file that can be read to its end", error.strerror, "the file")


def is_of_the_disk(error: InputError) -> bool:
    """Return whether an error that a file is blamed for is a disk's, which may work tomorrow."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno is not None  # Arrow's own have no number


def missing_package(package: str, extra: str, purpose: str) -> InputError:
    """Make the error of an optional package that is not installed."""
    return InputError(
        Problem(
            purpose, f"the package {package}", "it is not installed", f"pip install 'pet[{extra}]'"
        )
    )


def is_panic(error: BaseException) -> bool:
    """Recognise what a library in Rust raises where it gives up: it is no `Exception`."""
    return type(error).__name__ == "PanicException"


OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Recognise an allocation failure on any device: torch raises a RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def as_pet_error(error: Exception) -> PetError | None:
    """Explain what anything can raise: no memory left, or a place that may not be used.

    None for all else, which is a mistake of this library.
    """
    if isinstance(error, PetError):
        return error
    if is_out_of_memory(error):
        fix = "end other programs; or lower tokens_per_batch or max_length, or take a smaller model"
        return PetError(Problem("memory", "enough of it", first_line(error), fix))
    if isinstance(error, OSError) and error.errno and error.filename:
        where, found = os.fsdecode(error.filename), error.strerror or str(error)
        expected = "a place that can be read and written"
        return InputError(Problem(where, expected, found, "check the path and its permissions"))
    return None


class LockedError(PetError):
    """Another live process is working on this run: wait, or choose another folder."""

    exit_status = 2


def locked_error(where: Path | str, found: str, addition: str = "") -> LockedError:
    """Make the error of a run folder that another process holds."""
    fix = f"wait for it to end, stop it, or choose another --out{addition}"
    return LockedError(Problem(str(where), "a run that nobody else is working on", found, fix))


class Interrupted(PetError):
    """The user asked to stop; what is done is kept, and the same command goes on."""

    exit_status = 130


def gather(problems: list[Problem], read: Callable[[], T]) -> T | None:
    """Return what `read` returns; add the problems of an InputError to `problems`, return None."""
    try:
        return read()
    except InputError as error:
        problems += error.problems
        return None


LONGEST_NAME = 1000  # characters of a name that may be a slip of another


def did_you_mean(found: str, allowed: Iterable[str]) -> str:
    """Return the allowed name that is nearest to `found`, or "" when none is near."""
    if len(found) > LONGEST_NAME:
        return ""
    names = {name.casefold(): name for name in sorted(allowed)}
    near = difflib.get_close_matches(found.strip().casefold(), names, n=1)
    return names[near[0]] if near else ""
