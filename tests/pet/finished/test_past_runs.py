"""Past runs: listed and shown, damaged ones too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pet.errors import InputError
from pet.finished.past_runs import list_runs, show_run
from pet.settings import make_config


def test_a_damaged_report_ends_no_list_of_runs(run_copy: Path) -> None:
    damaged = ["", "[]", "{", '{"pool": 3}', '{"pool": {"rows": "x"}, "labels": {"rows": 1}}']
    for number, text in enumerate(damaged):
        copy = run_copy.parent / f"damaged-{number}"
        copy.mkdir()
        shutil.copy(run_copy / "config.json", copy)
        (copy / "report.json").write_text(text)
    (run_copy.parent / "damaged-0" / "config.json").write_text("3")
    listed = {row["run"]: row["state"] for row in list_runs(run_copy.parent)}
    names = [f"damaged-{number}" for number in range(len(damaged))]
    assert listed == {"news": "finished", **dict.fromkeys(names, "report damaged")}
    assert show_run(run_copy.parent / "damaged-1")["state"] == "report damaged"


def test_runs_are_listed_with_how_far_they_are(run_copy: Path) -> None:
    unfinished = run_copy.parent / "half"
    shutil.copytree(run_copy, unfinished)
    (unfinished / "report.json").unlink()
    (run_copy.parent / "no-run").mkdir()
    listed = {row["run"]: row for row in list_runs(run_copy.parent)}
    assert list(listed) == ["half", "news"]
    assert (listed["news"]["state"], listed["half"]["state"]) == ("finished", "not finished")
    assert listed["news"]["pool_rows"] == 40
    assert listed["news"]["task"] == "tiny_news"


def test_a_run_is_shown_with_settings_manifest_and_report(tiny_run: Path, tmp_path: Path) -> None:
    shown = show_run(tiny_run)
    assert shown["settings"]["seed"] == 42
    assert shown["report"]["task"] == "tiny_news"
    assert shown["manifest"]["inputs"]
    with pytest.raises(InputError, match="none that can be read"):
        show_run(tmp_path / "nothing")


def test_a_shown_run_names_the_settings_that_are_unlike_its_presets(
    tiny_run: Path, run_copy: Path
) -> None:
    changed = show_run(tiny_run)["changed"]
    assert changed["max_length"] == 32
    assert changed["member.steps"] == 2
    assert "seed" not in changed
    assert "warmup" not in changed
    config = make_config(
        {"task": "t", "pool": "p", "out": "o", "model": "m", "preset": "paper"},
        ("student.steps=7",),
    )
    (run_copy / "config.json").write_text(config.model_dump_json())
    assert show_run(run_copy)["changed"] == {"student.steps": 7}
