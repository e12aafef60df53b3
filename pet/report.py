"""A run folder in, what it amounts to out: report.json."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pet
from pet.display import as_markdown
from pet.inputs import Inputs
from pet.ipet import Growth
from pet.labeling import count_labels
from pet.measurement import ensemble_accuracy, measure
from pet.members import Member, folder_of
from pet.runs import DONE, read_record, write_json, write_text
from pet.weighing import ensemble_temperature, member_weights


@dataclass(frozen=True)
class Generation:
    """Members that were trained together, and how they stand."""

    members: list[Member]
    growth: Growth


def write_report(
    inputs: Inputs, members: list[Member], generations: list[Generation],
    seconds: Mapping[str, float],
) -> dict[str, Any]:  # fmt: skip
    """Measure everything that was made, and write `report.json` and the manifest's rest.

    Args:
        members: of the generation that was kept.
        generations: all that were made, a last one that did harm included.
        seconds: what each stage took.
    """
    manifest = read_record(inputs.folder / "manifest.json")
    weights = member_weights(inputs, members)
    sampled = read_record(inputs.folder / "unlabeled" / "done.json")
    report: dict[str, Any] = {
        "task": inputs.task.name,
        "run": inputs.folder.name,
        "pool": {
            "rows": sampled["rows"],
            "rejected": sampled["rejected"],
            "scored_by_members": sampled["sampled"],
        },
        "labels": count_labels(inputs.folder / "labels", inputs.task.labels),
        "weighing": inputs.config.weights,
        "weights": dict(zip([m.name for m in members], weights, strict=True)),
        "ensemble_temperature": ensemble_temperature(inputs, members, weights),
        "seconds": seconds,
        "generations": [_generation(inputs, generation) for generation in generations],
        "warnings": list(inputs.labeled.warnings),
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


def _generation(inputs: Inputs, generation: Generation) -> dict[str, Any]:
    """Describe a generation: how many rows each member learned from, and what they agree on."""
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


def model_card(inputs: Inputs, report: dict[str, Any]) -> str:
    """Describe the student for whoever finds its folder: data, method, figures, how to load."""
    measured = report.get("test") or report.get("labeled")
    figures = "No labeled rows were given, so nothing is known about its accuracy."
    if measured is not None:
        where = "test rows" if "test" in report else (
            "labeled rows, from which its teachers learned, so that it does worse on others"
        )  # fmt: skip
        student = measured["student"]
        figures = (
            f"On {student['rows']:,} {where}: accuracy {student['accuracy']:.3f}, macro-F1 "
            f"{student['macro_f1']:.3f}, expected calibration error {student['ece']:.3f}."
        )
    labels = "\n".join(f"- {as_markdown(label)}" for label in inputs.task.labels)
    members = as_markdown(", ".join(report["weights"]))
    return f"""---
library_name: transformers
pipeline_tag: text-classification
---
# {as_markdown(inputs.task.name)}

{as_markdown(inputs.task.description)}

{labels}

Distilled from an ensemble of {len(report["weights"])} (pattern-verbalizer models, Schick and
Schütze 2021; {members}), which had {len(inputs.labeled):,} labeled rows and
was asked about {report["pool"]["scored_by_members"]:,} unlabeled ones.

{figures} Texts are cut to {inputs.config.max_length} tokens.
Measure it anew before you trust it with texts of another kind.

```python
from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder")
classify("a text", truncation=True, max_length={inputs.config.max_length}, top_k=None)
```

Made with pet {pet.__version__} by the run {as_markdown(report["run"])}; settings are in its config.json.
"""
