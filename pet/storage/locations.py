"""Where a user puts something: a path, a hub id, or an address on object storage.

Other addresses are refused, and those with secrets in them.
"""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from pet.errors import InputError, Problem

# One scheme or several (`jdbc:postgresql://`), or none, but a user before the host.
_ADDRESS = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)+//|//[^/]*@")

STORES = {"s3": "s3fs", "gs": "gcsfs"}  # object storage: scheme, which names an extra; its package

_STORE = re.compile(f"({'|'.join(STORES)}):", re.IGNORECASE)

_ON_STORE = re.compile(rf"(?:{'|'.join(STORES)})://[a-z0-9][a-z0-9._-]{{2,}}(?:/[^/?#\\\0]+)*/?")


def is_on_store(place: object) -> bool:
    """Return whether a place is an address on object storage."""
    return isinstance(place, str) and _ON_STORE.fullmatch(place) is not None


def place_problem(where: str, value: str, stores: bool = False) -> Problem | None:
    """State what is wrong with a place as such, whatever is there.

    An empty one would be read as the present folder: it comes from a shell variable without a
    value. An address may hold a password or a signature, which must reach no manifest and no log.

    Args:
        stores: an address on object storage will do as well.
    """
    if not value.strip():
        fix = "was a shell variable empty? Give the path, or leave the option out"
        return Problem(where, "a path", "an empty text", fix)
    if "\0" in value:
        return Problem(where, "a path", "a NUL character in it", "check the quoting")
    if stores and _STORE.match(value):
        return _store_problem(where, value)
    if stores and _ADDRESS.match(value):
        fix = "copy it to this machine, or into a bucket, and say where it is then"
        expected = "a path on this machine, s3://BUCKET/... or gs://BUCKET/..."
        return Problem(where, expected, f"an address: {public(value)}", fix)
    if _ADDRESS.match(value):
        fix = "copy it to this machine and give its path; of a model on the hub, give its id alone"
        return Problem(where, "a path on this machine", f"an address: {public(value)}", fix)
    return None


def _store_problem(where: str, value: str) -> Problem | None:
    """State what is wrong with an address on object storage, without what may be secret in it."""
    parts = value.split("/")[3:]
    if is_on_store(value) and not {".", ".."} & set(parts):
        return None
    scheme = value.partition(":")[0].lower()
    expected = f"{scheme}://BUCKET/FOLDER"
    if not value.startswith(f"{scheme}://"):
        fix = f"write {scheme}:// and the bucket's name"
        found = re.split("[?#@]", value)[0] if "@" not in value else f"{scheme}:..."
        return Problem(where, expected, found[:60], fix)
    fix = "no key or signature, no // in it, no . or .. (credentials come from the environment)"
    return Problem(where, expected, f"an address that is none of these: {public(value)}", fix)


def check_places(stores: bool = False, **places: str) -> None:
    """Check the places that a command's options name.

    Raises:
        InputError: some are empty or addresses; with `stores`, others than on object storage.
    """
    found = [place_problem(f"--{option}", value, stores) for option, value in places.items()]
    if problems := [problem for problem in found if problem]:
        raise InputError(problems)


def place_in_pool(pool: str, out: str) -> list[Problem]:
    """State so if what is written to `out` would be read as a part of the pool the next time."""
    if is_on_store(pool) != is_on_store(out):
        return []
    if is_on_store(pool):
        folder, inner = pool.rstrip("/"), out.rstrip("/")
        if not f"{inner}/".startswith(f"{folder}/"):
            return []
        below = inner.removeprefix(folder).strip("/").split("/")
    else:
        folder, inner = os.path.realpath(pool), os.path.realpath(out)
        below = os.path.relpath(inner, folder).split(os.sep)
        if not os.path.isdir(folder) or below[0] == "..":
            return []
    if below != ["."] and any(part.startswith((".", "_")) for part in below):
        return []  # a name that pools leave alone
    return [
        Problem(
            f"--out {out}",
            f"a folder outside the pool {pool}",
            "one in it",
            "choose another --out: what is written there would be read as texts to label",
        )
    ]


def public(address: str) -> str:
    """Show an address without what may be secret: user, password, path and query."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "one that cannot be read"
    host = re.match(r"[A-Za-z0-9._:-]*", parts.hostname or "")  # `host;password=...` in some
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    return f"{scheme}//{host[0] if host else ''}{port}"
