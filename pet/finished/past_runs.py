"""The runs in a folder: what each is, how far it is, and what it was made with."""

from __future__ import annotations

import contextlib
import tomllib
from pathlib import Path
from typing import Any

from pet.reporting.certificate_file import open_draw, read_certificate
from pet.settings import changed_settings, load_config
from pet.storage.files import read_json, read_record

# What a report has, whatever was asked for: the screen shows it.
SHOWN = frozenset({"generations", "labels", "pool", "warnings", "weighing", "weights"})


def list_runs(under: Path) -> list[dict[str, Any]]:
    """List the runs in a folder with their state; a damaged one ends no list."""
    rows = []
    for path in sorted(under.glob("*/config.json")):
        state, report = _report(path.parent)
        rows.append(
            {
                "run": path.parent.name,
                "task": _task_of(path.parent),
                "state": state,
                "pool_rows": _at(report, "pool", "rows"),
                "student_accuracy": _at(report, "test", "student", "accuracy"),
            }
        )
    return rows


def _report(folder: Path) -> tuple[str, dict[str, Any] | None]:
    """Read a run's report; return its state too."""
    path = folder / "report.json"
    if not path.exists():
        return "not finished", None
    report = read_record(path)
    parts = [_at(report, "pool", "rows"), _at(report, "labels", "rows")]
    if not all(isinstance(part, int) for part in parts) or not report.keys() >= SHOWN:
        return "report damaged", None
    return "finished", report


def _task_of(folder: Path) -> str | None:
    """Return the name that the run's copy of its task file gives."""
    with contextlib.suppress(OSError, ValueError):
        name = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8")).get("name")
        return name if isinstance(name, str) else None
    return None


def _at(value: Any, *names: str) -> Any:
    """Look up a value in nested mappings; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def show_run(folder: Path) -> dict[str, Any]:
    """Return a run's settings, manifest and report; `changed` are settings unlike the preset's.

    Raises:
        InputError: the folder is no run.
    """
    config = load_config(folder / "config.json")
    state, report = _report(folder)
    return {
        "run": folder.name,
        "state": state,
        "settings": config.model_dump(mode="json"),
        "changed": changed_settings(config),
        "manifest": _manifest(folder),
        "provenance": read_json(folder / "provenance.json"),
        "report": report,
        "certificate": read_certificate(folder),
        "draw": open_draw(folder),
    }


def _manifest(folder: Path) -> dict[str, Any]:
    """Read a run's manifest, as far as its stages can be read."""
    manifest = read_record(folder / "manifest.json")
    stages = manifest.get("stages")
    whole = {
        name: stage
        for name, stage in (stages.items() if isinstance(stages, dict) else ())
        if isinstance(stage, dict) and stage.keys() >= {"seconds", "made", "reused"}
    }
    return {**manifest, "stages": whole}
