"""A run folder in, what it amounts to out: report.json."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

import pet
from pet.data.labeled import LabeledSet
from pet.ensemble.members import Member, folder_of
from pet.ensemble.predictions import pool_logits
from pet.ensemble.stopping import Generation
from pet.ensemble.weights import ensemble_scaling, member_weights
from pet.inputs.inputs import Inputs
from pet.inputs.run_tables import count_leaks
from pet.method.calibration import Scaling
from pet.method.ensembling import combine
from pet.reporting.measurement import count_rejected, ensemble_accuracy, find_examples, measure
from pet.reporting.model_card import model_card
from pet.storage.files import read_record, write_json, write_text
from pet.storage.units import DONE
from pet.student.label_files import count_labels


def write_report(
    inputs: Inputs,
    members: list[Member],
    generations: list[Generation],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Measure everything that was made, and write `report.json` and the manifest's rest.

    Args:
        members: of the generation that was kept.
        generations: all that were made, a last one that was discarded included.
        seconds: what each stage took.
    """
    manifest = read_record(inputs.folder / "manifest.json")
    weights = member_weights(inputs, members)
    scaling = ensemble_scaling(inputs, members, weights)
    sampled = read_record(inputs.folder / "unlabeled" / DONE)
    report: dict[str, Any] = {
        "task": inputs.task.name,
        "description": inputs.task.description,
        "templates": {pattern.name: pattern.template for pattern in inputs.task.patterns},
        "run": inputs.folder.name,
        "pool": {
            "rows": sampled["rows"],
            "rejected": sampled["rejected"],
            "scored_by_members": sampled["sampled"],
        },
        "sets": {name: _count(inputs, table) for name, table in inputs.measured().items()},
        "leaked": count_leaks(inputs.task, inputs.labeled, inputs.test),
        "rejected": count_rejected(inputs),
        "labels": count_labels(inputs.folder / "labels", inputs.task.labels),
        "examples": find_examples(inputs),
        "weighing": inputs.config.weights,
        "weights": dict(zip([m.name for m in members], weights, strict=True)),
        "members": _members(inputs, members, weights, scaling),
        "ensemble_temperature": scaling.temperature,
        "ensemble_offsets": dict(zip(inputs.task.labels, scaling.offsets, strict=True)),
        "seconds": seconds,
        "generations": [_generation(inputs, generation) for generation in generations],
        "warnings": list(inputs.labeled.warnings),
        "test_warnings": [] if inputs.test is None else list(inputs.test.warnings),
    }
    if prompts := _prompts(inputs, members):
        report["prompts"] = prompts
    for source in inputs.measured():
        report[source] = measure(inputs, members, source)
    write_json(inputs.folder / "report.json", report)
    write_text(inputs.folder / "student" / "README.md", model_card(inputs, report))
    write_json(
        inputs.folder / "manifest.json", {**manifest, "machine": machine(), "made_with": versions()}
    )
    return report


def _count(inputs: Inputs, table: LabeledSet) -> dict[str, Any]:
    """Count the rows of a set with known labels, and of every label."""
    counts = np.bincount(table.labels, minlength=len(inputs.task.labels)).tolist()
    return {"rows": len(table), "counts": dict(zip(inputs.task.labels, counts, strict=True))}


def _members(
    inputs: Inputs, members: list[Member], weights: list[float], scaling: Scaling
) -> dict[str, Any]:
    """Describe every member, with its agreement with the ensemble on pool rows."""
    logits = pool_logits(inputs, members)
    best = scaling.of(combine(logits, weights)).argmax(axis=-1)
    agreement = (logits.argmax(axis=-1) == best).mean(axis=1).round(4).tolist()
    return {
        member.name: {
            "kind": member.kind,
            "pattern": member.pattern,
            "trained": member.generation is not None,
            "agreement": share,
        }
        for member, share in zip(members, agreement, strict=True)
    }


def _generation(inputs: Inputs, generation: Generation) -> dict[str, Any]:
    """Describe a generation: how many rows each member was trained on, and their agreement."""
    learned = 0
    for member in generation.members:
        if member.generation is not None:
            record = read_record(folder_of(inputs, member) / DONE)
            drawn = len(record.get("drawn", {}).get("rows", []))
            learned = max(learned, len(inputs.labeled) + drawn)
    shares = [round(share, 4) for share in generation.growth.shares]
    found: dict[str, Any] = {
        "members": [member.name for member in generation.members],
        "rows": learned,
        "agreement": round(generation.growth.agreement, 4),
        "shares": dict(zip(inputs.task.labels, shares, strict=True)),
    }
    if inputs.test is not None:
        found["test_accuracy"] = ensemble_accuracy(inputs, generation.members, "test")
    return found


def _prompts(inputs: Inputs, members: list[Member]) -> dict[str, list[list[str]]]:
    """List, for members that are soft prompts, the words nearest to each of their vectors."""
    trained = [member for member in members if member.generation is not None]
    records = {member.name: read_record(folder_of(inputs, member) / DONE) for member in trained}
    return {name: own["nearest_words"] for name, own in records.items() if "nearest_words" in own}


def machine() -> dict[str, str]:
    """Name the machine, without its network name."""
    return {"system": platform.system(), "machine": platform.machine()}


def versions() -> dict[str, str]:
    """List the versions that a repetition needs."""
    packages = ("torch", "transformers", "peft", "tokenizers", "numpy", "pyarrow")
    found = {name: version(name) for name in packages}
    return {"pet": pet.__version__, "python": platform.python_version(), **found}
