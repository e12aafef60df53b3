"""What Prefect shows of a night: tables, warnings, the report's place, and events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from flows.runtime.artifacts import link_report, show_warnings
from pet.data.data_files import passed_over_warnings
from pet.escaping import as_markdown, visible

DRIFT = "pet.drift"
MODEL_RENEWED = "pet.model.renewed"
TOO_MANY_WRONG = "pet.labels.wrong"
LONGEST_TABLE = 200  # files in the result's table


def show_night(found: Mapping[str, Any]) -> None:
    """Leave the night's result, drift and warnings on the flow run, and emit its events."""
    create_markdown_artifact(
        _result(found), key="nightly-result", description=f"a night of {visible(found['store'])}"
    )
    if found["drift"]:
        create_table_artifact(
            [{**test, "drifted": "yes" if test["drifted"] else "no"} for test in found["drift"]],
            key="nightly-drift",
            description=f"the newest {found['drift_rows']:,} rows against the model's reference",
        )
    show_warnings("nightly", _warnings(found))
    link_report("nightly", Path(found["model"]["run"]))
    _emit(found)


def _result(found: Mapping[str, Any]) -> str:
    files = list(found["labeled"].items())
    lines = ["| file | rows | rejected | abstained |", "|---|---:|---:|---:|"]
    lines += [
        f"| {as_markdown(name)} | {file['rows']:,} | {file['rejected']:,} | {file['abstained']:,} |"
        for name, file in files[:LONGEST_TABLE]
    ]
    if len(files) > LONGEST_TABLE:
        lines.append(f"| and {len(files) - LONGEST_TABLE:,} more | | | |")
    lines += ["", "| label | rows |", "|---|---:|"]
    lines += [f"| {as_markdown(label)} | {rows:,} |" for label, rows in found["counts"].items()]
    model = found["model"]
    lines += [
        "",
        f"{found['rows']:,} rows of {len(files):,} files labeled tonight by model "
        f"{model['version']} ({as_markdown(model['predictor'])} of {as_markdown(model['run'])}), "
        f"{len(found['labeled_anew']):,} files labeled anew, {found['files']:,} files in all",
        "",
        f"labels: {as_markdown(found['labels'])}",
    ]
    return "\n".join(lines)


def _warnings(found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{name} is not labeled: {bad['expected']}, but {bad['found']}"
        for name, bad in found["bad"].items()
    ]
    lines += [f"{name} cannot be read: {why}" for name, why in found["unreadable"].items()]
    lines += passed_over_warnings("the pool", found["passed_over"])
    lines += [f"{name} is still being written" for name in found["late"]]
    lines += [f"drift of {test['what']}" for test in found["drift"] if test["drifted"]]
    return lines


def _emit(found: Mapping[str, Any]) -> None:
    """Emit events for automations: drift in tonight's texts, and a model that came into use."""
    resource = {
        "prefect.resource.id": f"pet.store.{Path(found['store']).name}",
        "prefect.resource.name": found["store"],
    }
    drifted = [test for test in found["drift"] if test["drifted"]]
    if drifted and (found["labeled"] or found["came_into_use"]):
        payload = {
            "of": [test["what"] for test in drifted],
            "tests": found["drift"],
            "rows": found["drift_rows"],
        }
        emit_event(DRIFT, resource=resource, payload=payload)
    if found["errors"] and found["errors"]["alarm"]:
        emit_event(TOO_MANY_WRONG, resource=resource, payload=found["errors"])
    if found["came_into_use"]:
        emit_event(MODEL_RENEWED, resource=resource, payload=found["came_into_use"])
