"""A folder in the cache is whole and of the right recipe, or it is made anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data.cache import cache_root, fetch
from pet.errors import PetError


def test_a_damaged_folder_is_made_anew(bert_tiny, cache):
    assert fetch(bert_tiny, cache)
    (cache / "models/bert-tiny/model.safetensors").write_text("cut sh")
    assert fetch(bert_tiny, cache)
    assert (cache / "models/bert-tiny/model.safetensors").read_text().startswith("content")
    assert not fetch(bert_tiny, cache)


def test_a_changed_recipe_replaces_the_old_result(bert_tiny, cache):
    assert fetch(bert_tiny, cache)
    assert fetch(replace(bert_tiny, version=2), cache)
    assert [path.name for path in cache.iterdir()] == ["models"]


def test_a_failing_build_leaves_the_old_folder_alone(bert_tiny, cache):
    def broken(archive: Path, folder: Path) -> None:
        (folder / "config.json").write_text("half")
        raise PetError("no space")

    assert fetch(bert_tiny, cache)
    with pytest.raises(PetError, match="no space"):
        fetch(replace(bert_tiny, build=broken, version=2), cache)
    assert not fetch(bert_tiny, cache), "the old folder stands as it was"
    assert [path.name for path in cache.iterdir()] == ["models"]


def test_a_recipe_that_cannot_work_downloads_nothing(bert_tiny, index, cache):
    def missing() -> None:
        raise PetError("a package is missing")

    with pytest.raises(PetError, match="a package is missing"):
        fetch(replace(bert_tiny, check=missing), cache)
    assert index.downloads == 0


def test_without_the_variable_the_cache_lies_in_the_repository(monkeypatch):
    monkeypatch.delenv("PET_CACHE", raising=False)
    assert cache_root() == Path(__file__).parents[2] / ".cache"
