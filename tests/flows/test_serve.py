"""The deployment of a store, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import prefect
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

import flows.serve
from flows.serve import deployment_name, serve_nights
from pet.nightly.nightly_config import NightlyConfig


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


def test_a_process_that_leaves_does_not_pause_the_schedule_of_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every rolling update, nights stopped for good."""
    served: dict[str, Any] = {}
    monkeypatch.setattr(prefect, "serve", lambda *own, **options: served.update(options))
    monkeypatch.setattr(flows.serve, "check_reachable", lambda url: None)
    places = {"run": "run", "pool": "pool", "out": str(tmp_path / "store")}
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4200/api"}):
        serve_nights(NightlyConfig(**places), "0 2 * * *", "UTC")
    assert served == {"limit": 1, "pause_on_shutdown": False}
