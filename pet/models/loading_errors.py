"""Why a model cannot be loaded: what transformers raises, as one problem with its fix."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import transformers
from safetensors import SafetensorError, safe_open

from pet.errors import Problem, missing_package

_NEEDED = re.compile(r"requires the (\w+) library but it was not found")

_TYPE = re.compile(r"model type `([^`]*)` but Transformers does not recognize")

_CLASS = re.compile(r"Unrecognized configuration class .*?(\w+Config)\b.*?\b(AutoModel\w+)", re.S)

LARGEST_JSON = 256 << 20  # bytes that are read to find out whether a file is whole


def model_problem(ref: str, part: str, error: BaseException) -> Problem:
    """Explain why a model, or a part of it, cannot be loaded."""
    where = f"{ref}: {part}" if part else ref
    if package := _missing_package(error):
        if package in ("sentencepiece", "protobuf"):
            return missing_package(package, "sentencepiece", where).problems[0]
        return Problem(
            where, f"the package {package}", "it is not installed", f"pip install {package}"
        )
    first = (str(error).strip().splitlines() or [""])[0][:300]
    found = first if " " in first else f"{type(error).__name__}: {first}"
    fix = "check the name; offline, give the path of a local folder"
    version = f"transformers {transformers.__version__}"
    if named := _TYPE.search(str(error)):
        found = f"one of the type {named[1]!r}"
        fix = f"{version} has none of it: update it, or take another model"
    elif named := _CLASS.search(str(error)):
        found = f"a {named[1]}, for which {version} has no {named[2]}"
        fix = "take a model of another kind"
    elif os.path.isdir(ref):
        damaged = _damaged_file(Path(ref))
        fix = f"copy or download it again: {damaged} is damaged"
        if damaged is None:
            fix = f"copy or download it again, or take another model ({version} is installed)"
    expected = "a model that transformers can load, as a local folder or from the hub"
    return Problem(where, expected, found, fix)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _missing_package(error: BaseException) -> str | None:
    """Name the package whose absence made transformers fail, as pip calls it."""
    for cause in _chain(error):
        named = _NEEDED.search(str(cause))
        name = named[1].lower() if named else getattr(cause, "name", None)
        if isinstance(cause, ImportError) and name and not _is_installed(name):
            # A SentencePiece file that cannot be read is taken for one of tiktoken's at last.
            readers = ["sentencepiece", "google.protobuf"] if name == "tiktoken" else []
            needed = next((reader for reader in readers if not _is_installed(reader)), name)
            return {"google.protobuf": "protobuf"}.get(needed, needed.partition(".")[0])
    return None


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _damaged_file(folder: Path) -> str | None:
    """Name a file of a model that is cut off or is something else than it is called."""
    for path in sorted(folder.iterdir()):
        try:
            if path.suffix == ".json" and path.stat().st_size <= LARGEST_JSON:
                json.loads(path.read_bytes())
            elif path.suffix == ".safetensors":
                with safe_open(path, "numpy"):
                    pass
        except (ValueError, RecursionError, SafetensorError, OSError):
            return path.name
    return None
