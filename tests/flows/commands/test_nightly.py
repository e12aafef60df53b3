"""`pet nightly`, `pet diff`, and a store in `pet runs show`."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from tests.flows.conftest import Pet
from tests.support.nights import arrive, night_settings


@pytest.fixture
def config(tmp_path: Path, tiny_run: Path, inputs_folder: Path) -> Path:
    settings = night_settings(tmp_path, tiny_run, inputs_folder / "labeled.csv", retrain_nights=2)
    (tmp_path / "nightly.json").write_text(settings.model_dump_json())
    return tmp_path / "nightly.json"


def test_nights_by_hand_and_what_they_changed(pet: Pet, config: Path) -> None:
    pool, store = config.parent / "pool", config.parent / "store"
    arrive(pool, "a.csv", 25)
    (pool / "b[red].csv").write_text("id,other\n1,2\n")
    first = pet("nightly", config)
    assert first.exit_code == 0, first.output
    assert "1 file labeled, 25 rows" in first.stdout
    assert "warning: b[red].csv is not labeled: a column 'text' of text" in first.stdout
    assert "label shares" in first.stdout
    assert "0 files labeled, 0 rows; 1 file in all" in pet("nightly", config).stdout
    arrive(pool, "c.csv", 5)
    second = json.loads(pet("nightly", config, "--json").stdout)
    assert (list(second["labeled"]), second["model"]["version"]) == (["c.csv"], 2)

    shown = pet("runs", "show", store).stdout
    assert date.today().isoformat()[:8] in shown, "a date that is cut is none"
    assert "2 nights with new texts" in shown
    assert "12 (" in shown  # labeled rows, and the set's digest
    record = json.loads(pet("runs", "show", store, "--json").stdout)
    assert {file["model"] for file in record["files"].values()} == {2}
    assert (store / record["files"]["a.csv"]["labels"]).is_dir()

    diff = pet("diff", store / "labels" / "v0001", store / "labels" / "v0002")
    assert diff.exit_code == 0, diff.output
    assert "of 30 common rows changed" in diff.stdout
    found = json.loads(
        pet("diff", store / "labels" / "v0001", store / "labels" / "v0002", "--json").stdout
    )
    assert found["before"]["model_version"] == "1"
    assert found["after"]["model_version"] == "2"


def test_a_shown_run_names_where_its_labels_come_from(pet: Pet, tiny_run: Path) -> None:
    shown = pet("runs", "show", tiny_run).stdout
    assert "trained on  12 labeled rows" in shown
    assert "pool file   pool.parquet" in shown
    record = json.loads(pet("runs", "show", tiny_run, "--json").stdout)["provenance"]
    [(_, weights)] = record["models"]["student"]["weights"].items()
    assert len(weights) == 64
    assert record["pool"]["files"].keys() == {"pool.parquet"}


def test_wrong_settings_are_one_screen(pet: Pet, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text('run = "gone"\npool = "p"\nout = "o"\n')
    result = pet("nightly", tmp_path / "n.toml")
    assert result.exit_code == 2
    assert "a run folder with config.json" in result.stderr
    assert pet("diff", tmp_path / "gone", tmp_path).exit_code == 2
