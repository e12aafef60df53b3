"""The deployment of a store, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.serve import deployment_name


def test_two_stores_of_one_name_are_two_deployments(tmp_path: Path) -> None:
    """The second took the first one's place, whose texts were never labeled again."""
    first, second = (deployment_name(tmp_path / who / "labels") for who in ("x", "y"))
    assert first != second
    assert first.startswith("labels-")


def test_a_store_has_one_name_from_wherever_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert deployment_name(Path("labels")) == deployment_name(tmp_path / "labels")


@pytest.mark.parametrize("name", ["R&D", "50%", "a/b", "."])
def test_a_name_that_prefect_would_refuse_is_made_one_that_it_takes(name: str) -> None:
    assert not set("/%&<>") & set(deployment_name(Path(name)))
