"""The runs in a folder: what each is, how far it is, and what it was made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pet.config import RunConfig, load_config
from pet.runs import read_json


def list_runs(under: Path) -> list[dict[str, Any]]:
    """Say of every run in a folder what it is and how far it is; a damaged one ends no list."""
    rows = []
    for path in sorted(under.glob("*/config.json")):
        state, report = _report(path.parent)
        rows.append(
            {
                "run": path.parent.name,
                "task": _at(report, "task") or _at(read_json(path), "task"),
                "state": state,
                "pool_rows": _at(report, "pool", "rows"),
                "student_accuracy": _at(report, "test", "student", "accuracy"),
            }
        )
    return rows


def _report(folder: Path) -> tuple[str, dict[str, Any] | None]:
    """Read a run's report; say how far the run is."""
    path = folder / "report.json"
    if not path.exists():
        return "not finished", None
    report = read_json(path)
    parts = [_at(report, "pool", "rows"), _at(report, "labels", "rows")]
    if not all(isinstance(part, int) for part in parts):
        return "report damaged", None
    return "finished", report


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
    needed = {
        name: getattr(config, name)
        for name, field in RunConfig.model_fields.items()
        if field.is_required()
    }
    preset = RunConfig(**needed, preset=config.preset)
    state, report = _report(folder)
    return {
        "run": folder.name,
        "state": state,
        "settings": config.model_dump(mode="json"),
        "changed": _changed(config.model_dump(mode="json"), preset.model_dump(mode="json")),
        "manifest": read_json(folder / "manifest.json"),
        "provenance": read_json(folder / "provenance.json"),
        "report": report,
    }


def _changed(settings: dict[str, Any], preset: dict[str, Any]) -> dict[str, Any]:
    """List the settings that differ, by the names that `--set` takes."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and isinstance(preset[name], dict):
            inner = _changed(value, preset[name])
            found |= {f"{name}.{key}": changed for key, changed in inner.items()}
        elif value != preset[name]:
            found[name] = value
    return found
