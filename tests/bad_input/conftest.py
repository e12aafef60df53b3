"""A folder with the tiny task, its finished run and two models; what is in it, byte for byte."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from pet.data import limited_process
from tests.bad_input.case import Content
from tests.conftest import ModelFolder


@pytest.fixture
def workplace(
    tmp_path: Path,
    inputs_folder: Path,
    tiny_run: Path,
    model_folder: ModelFolder,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The folder that every command of the table starts in."""
    folder = Path(shutil.copytree(inputs_folder, tmp_path / "work"))
    shutil.copytree(tiny_run, folder / "news")
    for kind in ("bert", "gpt2"):
        (folder / kind).symlink_to(model_folder(kind))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(limited_process, "MEMORY_BYTES", 256 << 20)  # is taken in less time
    return folder


def write_all(folder: Path, content_of: Mapping[str, Content]) -> None:
    for name, content in content_of.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder: files with their content, links with what they lead to."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found
