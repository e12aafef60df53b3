"""Settings of former versions: those that have another name by now, and those that are gone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Removed:
    """A setting that is gone.

    Attributes:
        default: the value that it had by default; that one is accepted.
        fix: what to do for any other one.
    """

    default: Any
    fix: str = "leave it out"


@dataclass(frozen=True)
class FormerSettings:
    """What a kind of settings had; in a group by dotted names.

    Attributes:
        renamed: former name -> name of today, in the same group.
        removed: former name -> what was there.
        joined: name of today -> former names, perhaps itself among them, that are one setting now.
        groups: groups of which nothing is left.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, Removed] = field(default_factory=dict)
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: tuple[str, ...] = ()

    def of_today(self, data: Mapping[str, Any], note: Callable[[str], None]) -> dict[str, Any]:
        """Return settings with today's names, and without those that are gone.

        What has no place today stays, to be refused as an unknown name: a removed setting of
        another value than its default, a renamed one beside the new one. Settings that are one now
        become it where all of them are there and say the same.

        Args:
            note: called once with all of them; not at all where there are none.
        """
        made, notes = deepcopy(dict(data)), []
        for old, new in self.renamed.items():
            group, name = _place(made, old)
            new_name = new.rpartition(".")[2]
            if name in group and new_name not in group:
                group[new_name] = group.pop(name)
                notes.append(f"setting {old} is called {new} now")
        for new, olds in self.joined.items():
            places, (own, new_name) = [_place(made, old) for old in olds], _place(made, new)
            given = [group[name] for group, name in places if name in group]
            if len(given) < len(olds) or any(v != own.get(new_name, given[0]) for v in given):
                continue
            for group, name in places:
                del group[name]
            own[new_name] = given[0]
            notes.append(f"settings {', '.join(olds)} are one now: {new}")
        gone = []
        for old, removed in self.removed.items():
            group, name = _place(made, old)
            if name in group and group[name] == removed.default:
                gone.append(f"{old} ({group.pop(name)})")
        if len(gone) == 1:
            notes.append(f"setting {gone[0]} is gone: leave it out")
        elif gone:
            notes.append(f"settings {', '.join(gone)} are gone: leave them out")
        for name in self.groups:  # each of what is left is to be refused by its own name
            if isinstance(made.get(name), dict):
                made |= {f"{name}.{inner}": value for inner, value in made.pop(name).items()}
        if notes:
            note("; ".join(notes))
        return made

    def take_out(self, data: dict[str, Any]) -> dict[str, Any]:
        """Take removed settings out of `data`, whatever their values; return these by name."""
        found = {}
        for old in self.removed:
            group, name = _place(data, old)
            if name in group:
                found[old] = group.pop(name)
        return found

    def put_back(self, dump: Mapping[str, Any]) -> dict[str, Any]:
        """Return a dump with former settings, so that what is named by one keeps its name."""
        made = deepcopy(dict(dump))
        former: dict[str, Any] = {old: removed.default for old, removed in self.removed.items()}
        for new, olds in self.joined.items():
            group, name = _place(made, new)
            if name in group:
                former |= dict.fromkeys(olds, group.pop(name))
        for old, value in former.items():
            inner, _, name = old.rpartition(".")
            (made.setdefault(inner, {}) if inner else made)[name] = value
        return made


def _place(settings: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    """Return the group that a setting would stand in, and its name there."""
    if dotted in settings:  # one that is left of a group
        return settings, dotted
    group, _, name = dotted.rpartition(".")
    inner = settings.get(group) if group else settings
    return (inner if isinstance(inner, dict) else {}), name


def warn(line: str) -> None:
    """Warn a caller in Python; a command has its own way."""
    warnings.warn(line, FutureWarning, stacklevel=5)
