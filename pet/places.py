"""Where a user says that something lies: a path or a hub id, never an address with its secrets."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from pet.errors import InputError, Problem

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def place_problem(where: str, value: str) -> Problem | None:
    """Say what is wrong with a place as such, whatever is there.

    An empty one would be read as the present folder: it comes from a shell variable without a
    value. An address may hold a password or a signature, which must reach no manifest and no log.
    """
    if not value.strip():
        fix = "was a shell variable empty? Give the path, or leave the option out"
        return Problem(where, "a path", "an empty text", fix)
    if "\0" in value:
        return Problem(where, "a path", "a NUL character in it", "check the quoting")
    if _ADDRESS.match(value):
        fix = "copy it to this machine and give its path; of a model on the hub, give its id alone"
        return Problem(where, "a path on this machine", f"an address: {public(value)}", fix)
    return None


def check_places(**places: str) -> None:
    """Check the places that a command's options name.

    Raises:
        InputError: some are empty or addresses.
    """
    found = [place_problem(f"--{option}", value) for option, value in places.items()]
    if problems := [problem for problem in found if problem]:
        raise InputError(problems)


def place_in_pool(pool: str, out: str) -> list[Problem]:
    """Say so if what is written to `out` would be read as a part of the pool the next time."""
    folder, inner = os.path.realpath(pool), os.path.realpath(out)
    below = os.path.relpath(inner, folder).split(os.sep)
    if not os.path.isdir(folder) or below[0] == "..":
        return []
    if below != ["."] and any(part.startswith((".", "_")) for part in below):
        return []  # a name that pools leave alone
    return [
        Problem(f"--out {out}", f"a folder outside the pool {pool}", "one in it",
                "choose another --out: what is written there would be read as texts to label")
    ]  # fmt: skip


def public(address: str) -> str:
    """Show an address without what may be secret: user, password, path and query."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "one that cannot be read"
    return f"{parts.scheme}://{parts.hostname or ''}{port}"
