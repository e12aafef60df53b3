"""The cache folder: a recipe's result is in it whole, or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from data.archives import Archive, download
from pet.errors import PetError
from pet.storage.files import writing

SEAL = "source.json"


class Unavailable(PetError):
    """What a recipe is made from is not on this machine: it is skipped, not failed."""


@dataclass(frozen=True)
class Recipe:
    """How one folder of the cache is made from one archive.

    Attributes:
        name: what the user types.
        target: the folder, relative to the cache.
        archive: what is downloaded; None: `build` finds on the machine what it needs.
        build: writes the folder's files; called with the archive and an empty folder.
        check: raises if the recipe cannot work here; called before the download.
        version: raised when `build` changes what it writes, so that old folders are made anew.
    """

    name: str
    target: str
    archive: Archive | None
    build: Callable[[Path, Path], None]
    check: Callable[[], None] = lambda: None
    version: int = 1


def cache_root() -> Path:
    """Return the cache folder: `PET_CACHE`, or `.cache` in the repository."""
    chosen = os.environ.get("PET_CACHE")
    if chosen:  # made absolute: the working directory may change
        return Path(chosen).expanduser().absolute()
    return Path(__file__).resolve().parents[1] / ".cache"


def fetch(recipe: Recipe, root: Path) -> bool:
    """Make the recipe's folder under `root`; return False if it was there already.

    The download lies in a partial folder; the result is renamed into its place when it is whole.
    """
    target = root / recipe.target
    if is_complete(target, recipe):
        return False
    recipe.check()
    with partial_folder(root) as partial:
        path = Path(partial) / "download"
        if recipe.archive is not None:
            path = download(recipe.archive, path)
        with writing(target) as folder:
            folder.mkdir()
            recipe.build(path, folder)
            write_seal(folder, recipe)
    return True


def partial_folder(root: Path) -> AbstractContextManager[str]:
    """Return a temporary folder in the cache that goes away on success, error and Ctrl-C alike."""
    root.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="partial-", dir=root)


def fingerprint(recipe: Recipe) -> dict[str, str | int]:
    """Return what decides the content of the recipe's folder."""
    found: dict[str, str | int] = {"recipe": recipe.name, "version": recipe.version}
    if recipe.archive is not None:
        found |= {"archive": recipe.archive.filename, "sha256": recipe.archive.sha256}
    return found


def write_seal(folder: Path, recipe: Recipe) -> None:
    """Write the file that says where the folder comes from and which files belong to it."""
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    seal = {**fingerprint(recipe), "files": sizes}
    (folder / SEAL).write_text(json.dumps(seal, indent=2) + "\n", encoding="utf-8")


def is_complete(target: Path, recipe: Recipe) -> bool:
    """Say whether `target` was made by this very recipe and still has all its files."""
    try:
        seal = json.loads((target / SEAL).read_text(encoding="utf-8"))
        sizes = seal.pop("files")
        return seal == fingerprint(recipe) and all(
            (target / name).stat().st_size == size for name, size in sizes.items()
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return False
