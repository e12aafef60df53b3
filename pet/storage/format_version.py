"""The format of run folders and students: what an earlier version wrote loads, or says why not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pet
from pet.errors import InputError, Problem

# Raised when this version writes what earlier ones would misread. A later version reads every
# format up to its own, or says here which it no longer does. 2: ensembles have offsets.
FORMAT = 2


def check_format(where: Path, record: Mapping[str, Any] | None) -> None:
    """Refuse a run folder or student of a format that this version does not know.

    Args:
        record: its `manifest.json` or `pet.json`. Those without a format are of the first one.

    Raises:
        InputError: a newer version of pet made it, or it is damaged.
    """
    found = (record or {}).get("format", 1)
    if type(found) is int and 1 <= found <= FORMAT:
        return
    maker = _maker(record or {})
    raise InputError(
        Problem(
            str(where),
            f"format {FORMAT} or older, which pet {pet.__version__} reads",
            f"format {found!r}, made with {maker}",
            f"install {maker if maker != _UNKNOWN else 'a newer pet'}, or make it anew with "
            "this version",
        )
    )


_UNKNOWN = "an unknown version"


def _maker(record: Mapping[str, Any]) -> str:
    versions = record.get("made_with")
    version = versions.get("pet") if isinstance(versions, dict) else record.get("pet")
    return f"pet {version}" if isinstance(version, str) else _UNKNOWN
