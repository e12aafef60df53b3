"""The command that a configuration stands for."""

from __future__ import annotations

import json
import shlex
from typing import Any

from pet.config import RunConfig

OPTIONS = ("labeled", "pool", "test", "model", "student_model", "encoder", "preset",
           "label_column", "text_column", "out")  # fmt: skip


def changed_settings(config: RunConfig) -> dict[str, Any]:
    """List the settings that are unlike the preset's, by the names that `--set` takes."""
    needed = {
        name: getattr(config, name)
        for name, field in RunConfig.model_fields.items()
        if field.is_required()
    }
    preset = RunConfig(**needed, preset=config.preset)
    return _changed(config.model_dump(mode="json"), preset.model_dump(mode="json"))


def _changed(settings: dict[str, Any], preset: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and isinstance(preset[name], dict):
            inner = _changed(value, preset[name])
            found |= {f"{name}.{key}": changed for key, changed in inner.items()}
        elif value != preset[name]:
            found[name] = value
    return found


def run_command(config: RunConfig) -> list[str]:
    """Write the `pet run` command that has this configuration, an option an item, quoted."""
    changed = changed_settings(config)
    needed = {"pool", "model", "out"}
    lines = [f"pet run {shlex.quote(config.task)}"]
    for name in OPTIONS:
        value = getattr(config, name)
        if name in needed or value != RunConfig.model_fields[name].default:
            lines.append(f"--{name.replace('_', '-')} {shlex.quote(str(value))}")
        changed.pop(name, None)
    for name, value in changed.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"--set {shlex.quote(f'{name}={text}')}")
    return lines
