"""Where mirrors lie on this machine's disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.storage.mirrors import Mirror, free_room


@pytest.mark.parametrize("name", ["tmp-tickets", "tmp", "lock", "index.json"])
def test_a_runs_name_is_never_that_of_something_of_the_rooms_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What a killed process could not send was swept away with the leftovers of fetches."""
    monkeypatch.setenv("PET_SCRATCH", str(tmp_path))
    monkeypatch.setattr("pet.mirrors.file_system", lambda address: None)
    mirror = Mirror(f"s3://bucket/{name}")
    unit = mirror.path / "members" / "x"
    unit.mkdir(parents=True)
    monkeypatch.setattr("pet.scratch.hold_file", lambda path: None)  # as after that process's end
    free_room(f"s3://bucket/{name}")
    assert unit.exists()
