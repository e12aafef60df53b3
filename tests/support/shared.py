"""Folders that all processes of a session share: the first that asks makes one, under a lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock


@dataclass(frozen=True)
class Shared:
    """A place for what tests start from and do not change."""

    place: Path

    @classmethod
    def of(cls, factory: pytest.TempPathFactory) -> Shared:
        """Return the session's; the processes of pytest-xdist have folders beside each other."""
        own = factory.getbasetemp()
        return cls((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared")

    def folder(self, name: str, make: Callable[[Path], Any]) -> Path:
        """Return a folder that `make` fills; where it failed, the next who asks tries again."""
        folder, done = self.place / name, self.place / f"{name}.done"
        if done.exists():
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder
