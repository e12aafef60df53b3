"""Settings as they are written, on a command line or in a file, and what is wrong with them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pet.config import Budget, CsvConfig, Frozen, RunConfig
from pet.errors import InputError, Problem, did_you_mean
from pet.former_settings import warn

LONGEST_SHOWN = 80  # characters of a wrong value


def make_config(
    values: Mapping[str, Any],
    settings: tuple[str, ...] = (),
    problems: list[Problem] | None = None,
    note: Callable[[str], None] = warn,
) -> RunConfig:
    """Build the configuration from options and `key=value` settings (`student.steps=100`).

    Args:
        problems: where to put what is wrong instead of raising it. The configuration is then made
            of the rest, so that a typo does not hide what is wrong with the files; it is not to
            be run.
        note: gets one line on settings that have another name by now, or are gone.

    Raises:
        InputError: every unknown key and bad value at once; with `problems`, only where nothing
            is left to make a configuration of.
    """
    data: dict[str, Any] = deepcopy({k: v for k, v in values.items() if v is not None})
    found = [problem for setting in settings if (problem := _apply(data, setting))]
    data = RunConfig.former.of_today(data, note)
    config = None
    try:
        config = RunConfig(**data)
    except ValidationError as error:
        found += _as_problems(error)
        if problems is not None:
            config = _of_the_rest(data, error)
    if config is None or (found and problems is None):
        raise InputError([*(problems or []), *found])
    if problems is not None:
        problems += found
    return config


def _of_the_rest(data: dict[str, Any], error: ValidationError) -> RunConfig | None:
    """Leave out what is wrong; None if a setting without a default is."""
    for name, *inner in (detail["loc"] for detail in error.errors()):
        group = data.get(str(name))
        if inner and isinstance(group, dict):
            group.pop(inner[0], None)
        else:
            data.pop(str(name), None)
    try:
        return RunConfig(**data)
    except ValidationError:
        return None


def read_csv_options(pairs: Sequence[str]) -> CsvConfig | None:
    r"""Read `--csv delimiter=; --csv escape=\`; None where nothing is given.

    Raises:
        InputError: an unknown name or a bad value.
    """
    values = dict(pair.partition("=")[::2] for pair in pairs)
    try:
        return CsvConfig(**values) if values else None
    except ValidationError as error:
        problems = [as_problem(detail, CsvConfig) for detail in error.errors()]
        named = [replace(own, where=own.where.replace("setting", "--csv")) for own in problems]
        raise InputError(named) from None


def read_budget(time: str, settings: Sequence[str] = ()) -> Budget:
    """Read `--budget 10m`; settings that are given beside it stay as they are.

    Raises:
        InputError: it is no time.
    """
    try:
        return Budget(time=time, kept=tuple(own.partition("=")[0].strip() for own in settings))
    except ValidationError as error:
        (problem,) = [as_problem(detail, Budget) for detail in error.errors()]
        fix = "for example --budget 10m"
        raise InputError(replace(problem, where="--budget", fix=fix)) from None


def _apply(data: dict[str, Any], setting: str) -> Problem | None:
    key, equals, text = setting.partition("=")
    group, _, name = key.strip().rpartition(".")
    if not equals or not name:
        return Problem(
            f"--set {setting}", "key=value", repr(setting), "for example --set student.steps=500"
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    place = data
    if group:
        place = data.setdefault(group, {})
        if not isinstance(place, dict):
            return Problem(f"--set {setting}", "a group of settings", group, _KNOWN_SETTINGS)
    place[name] = value
    return None


def _as_problems(error: ValidationError) -> list[Problem]:
    """Make one problem per setting: where either of two kinds would do, both are shown."""
    found: dict[str, Problem] = {}
    for detail in error.errors():
        problem = as_problem(detail)
        if (first := found.get(problem.where)) is not None:
            problem = replace(first, expected=f"{first.expected}; or: {problem.expected}")
        found[problem.where] = problem
    return list(found.values())


def as_problem(detail: Any, kind: type[Frozen] = RunConfig) -> Problem:
    """Say what pydantic found wrong with settings of a kind."""
    names = _setting_names(kind)
    parts = [str(part) for part in detail["loc"]]
    field = kind.model_fields.get(parts[0]) if parts else None
    if field is not None and not isinstance(field.default, Frozen):
        parts = parts[:1]  # what follows is pydantic's own name for a kind of value
    where = ".".join(parts)
    given = detail.get("input")
    found = repr(given)
    found = found if len(found) <= LONGEST_SHOWN else f"{found[:LONGEST_SHOWN]}..."
    if detail["type"] == "extra_forbidden" and (former := _as_former(kind, where, found)):
        return former
    if detail["type"] == "extra_forbidden":
        meant = did_you_mean(where, names)
        hint = f"did you mean {meant}? " if meant else ""
        return Problem(f"setting {where}", "a known setting", where, hint + _listed(names))
    if detail["type"] == "missing":
        return Problem(f"setting {where}", "a value", "nothing", "add it")
    if detail["type"] == "place":
        context = detail["ctx"]
        return Problem(f"setting {where}", context["expected"], context["found"], context["fix"])
    if detail["type"] == "tuple_type":
        texts = [text.strip() for text in given.split(",")] if isinstance(given, str) else ["..."]
        fix = f"write {shlex.quote(f'{where}={json.dumps(texts, ensure_ascii=False)}')}"
        return Problem(f"setting {where}", "a list", found, fix)
    if detail["type"] == "model_type":
        inner = [name for name in names if name.startswith(f"{where}.")]
        return Problem(f"setting {where}", "a group of settings", found, _listed(inner))
    expected = detail["msg"].removeprefix("Input should be ")
    if detail["type"] == "too_long" and isinstance(given, str):
        expected = f"{detail['ctx']['max_length']} character at most"
    return Problem(f"setting {where}", expected, found, "give another value")


def _as_former(kind: type[Frozen], name: str, found: str) -> Problem | None:
    """Say what is wrong with a former setting that has no place today."""
    removed, new = kind.former.removed.get(name), kind.former.renamed.get(name)
    if removed is not None:
        wanted = "nothing" if removed.default is None else f"{removed.default!r}, or nothing"
        wanted += ": the setting is gone"
        return Problem(f"setting {name}", wanted, found, removed.fix)
    if new is not None:
        return Problem(f"setting {name}", f"{new} alone: its name now", "both", "leave it out")
    return None


def _setting_names(kind: type[Frozen] = RunConfig) -> list[str]:
    names = []
    for name, info in kind.model_fields.items():
        if isinstance(info.default, Frozen):
            names += [f"{name}.{inner}" for inner in type(info.default).model_fields]
        else:
            names.append(name)
    return sorted(names)


def _listed(names: Sequence[str]) -> str:
    return "the settings are: " + ", ".join(names)


_KNOWN_SETTINGS = _listed(_setting_names())
_REMOVED = RunConfig.former.removed


def load_config(path: Path, to_train: bool = False) -> RunConfig:
    """Read the configuration that a run folder holds; former settings pass without a word.

    Args:
        to_train: removed settings of other values than their defaults are refused. What was made
            with them may still be used: there is a Python warning then.

    Raises:
        InputError: no run is there, or its file is not one of ours.
    """
    try:
        return RunConfig.model_validate(_todays_settings(path, to_train))
    except (OSError, UnicodeDecodeError):
        raise InputError(
            Problem(
                str(path.parent),
                "a run folder with config.json",
                "none that can be read",
                "give the folder that was --out of `pet run`",
            )
        ) from None
    except ValidationError as error:
        wrong = {detail["loc"]: as_problem(detail) for detail in error.errors()}
        former = [own.fix for loc, own in wrong.items() if ".".join(map(str, loc)) in _REMOVED]
        found = "; ".join(own.where for own in wrong.values())
    except (ValueError, RecursionError):
        former, found = [], "no JSON"
    raise InputError(
        Problem(
            str(path),
            "settings that this version knows",
            found,
            "; ".join(former) or "run it again into a new folder with this version",
        )
    )


def _todays_settings(path: Path, to_train: bool) -> Any:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        return data
    data = RunConfig.former.of_today(data, note=lambda line: None)
    if not to_train and (unlike := RunConfig.former.take_out(data)):
        had = ", ".join(f"{name}={value!r}" for name, value in unlike.items())
        warn(f"{path.parent} was made with {had}: settings that are gone; not so, if trained anew")
    return data


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
