"""A run folder in, what it amounts to out: report.json."""

from __future__ import annotations

import platform
from collections import defaultdict
from importlib.metadata import version
from typing import Any

import numpy as np

import pet
from pet.ensembling import combine, softmax
from pet.evaluation import metrics
from pet.inputs import Inputs
from pet.ipet import Growth
from pet.labeling import count_labels
from pet.logits import read_logits
from pet.members import Member, folder_of, member_weights, stacked_logits
from pet.runs import read_json, write_json, write_text


def write_report(inputs: Inputs, members: list[Member], growth: list[Growth]) -> dict[str, Any]:
    """Measure everything that was made, and write `report.json` and the manifest's rest."""
    manifest = read_json(inputs.folder / "manifest.json") or {}
    sampled = read_json(inputs.folder / "unlabeled" / "done.json") or {}
    report: dict[str, Any] = {
        "task": inputs.task.name,
        "run": inputs.folder.name,
        "pool": {
            "rows": sampled["rows"],
            "rejected": sampled["rejected"],
            "scored_by_members": sampled["sampled"],
        },
        "labels": count_labels(inputs.folder / "labels", inputs.task.labels),
        "weights": dict(
            zip([m.name for m in members], member_weights(inputs, members), strict=True)
        ),
        "seconds": {name: stage["seconds"] for name, stage in manifest.get("stages", {}).items()},
        "generations": [
            {
                "agreement": round(stage.agreement, 4),
                "shares": dict(
                    zip(inputs.task.labels, [round(s, 4) for s in stage.shares], strict=True)
                ),
            }
            for stage in growth
        ],
        "warnings": list(inputs.labeled.warnings),
    }
    for source in inputs.measured():
        report[source] = measure(inputs, members, source)
    write_json(inputs.folder / "report.json", report)
    write_text(inputs.folder / "student" / "README.md", model_card(inputs, report))
    write_json(
        inputs.folder / "manifest.json", {**manifest, "machine": machine(), "made_with": versions()}
    )
    return report


def measure(inputs: Inputs, members: list[Member], source: str) -> dict[str, Any]:
    """Measure patterns, ensemble, student and baseline on a set with known labels.

    On the labeled set only the zero-shot figures and the student's accuracy are of rows that were
    not learned from; the student's temperature was fitted on them.
    """
    truth = inputs.measured()[source].labels
    file = f"{source}.parquet"
    _, logits = stacked_logits(inputs, members, file)
    patterns: dict[str, Any] = {}
    by_pattern = defaultdict(list)
    for member, own in zip(members, logits, strict=True):
        by_pattern[member.pattern].append(metrics(softmax(own), truth))
    for pattern, measured in by_pattern.items():
        before = read_logits(folder_of(inputs, Member(pattern, 0, None)) / "logits" / file)[1]
        patterns[pattern] = {
            "zero_shot": metrics(softmax(before), truth),
            "trained": {
                key: round(float(np.mean([m[key] for m in measured])), 4) for key in measured[0]
            },
        }
    together = combine(logits, member_weights(inputs, members))
    found = {"patterns": patterns, "ensemble": metrics(softmax(together), truth)}
    for name in ("supervised", "student") if len(inputs.labeled) else ("student",):
        own = read_logits(inputs.folder / "evaluation" / f"{name}-{source}.parquet")[1]
        found[name] = metrics(softmax(own), truth)
    return found


def machine() -> dict[str, str]:
    """Name the machine, without its network name."""
    return {"system": platform.system(), "machine": platform.machine()}


def versions() -> dict[str, str]:
    """List the versions that a repetition needs."""
    packages = ("torch", "transformers", "tokenizers", "numpy", "pyarrow")
    found = {name: version(name) for name in packages}
    return {"pet": pet.__version__, "python": platform.python_version(), **found}


def model_card(inputs: Inputs, report: dict[str, Any]) -> str:
    """Describe the student for whoever finds its folder: data, method, figures, how to load."""
    measured = report.get("test") or report.get("labeled")
    figures = "No labeled rows were given, so nothing is known about its accuracy."
    if measured is not None:
        where = "test rows" if "test" in report else "labeled rows (not trained on, but few)"
        student = measured["student"]
        figures = (
            f"On {student['rows']:,} {where}: accuracy {student['accuracy']:.3f}, macro-F1 "
            f"{student['macro_f1']:.3f}, expected calibration error {student['ece']:.3f}."
        )
    calibrated = "Its probabilities are not calibrated: there were no labeled rows to do it on."
    if len(inputs.labeled):
        calibrated = "Its probabilities are calibrated on the labeled rows."
    labels = "\n".join(f"- {label}" for label in inputs.task.labels)
    return f"""---
library_name: transformers
pipeline_tag: text-classification
---
# {inputs.task.name}

{inputs.task.description}

{labels}

Distilled from {len(report["weights"])} pattern-verbalizer models (Schick and Schütze 2021) that
were trained on {len(inputs.labeled):,} labeled rows and asked about
{report["pool"]["scored_by_members"]:,} unlabeled ones.

{figures} Texts are cut to {inputs.config.max_length} tokens. {calibrated}
Look at them before you trust labels on texts of another kind.

```python
from transformers import pipeline

classify = pipeline("text-classification", model="path/to/this/folder")
classify("a text", truncation=True, max_length={inputs.config.max_length}, top_k=None)
```

Made with pet {pet.__version__} by the run `{report["run"]}`; settings are in its config.json.
"""
