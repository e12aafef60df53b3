"""Where labels come from: which model, which files, which labeled set, which code."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pet
from pet.inputs.inputs import Inputs
from pet.storage.files import read_record, write_json
from pet.storage.units import DONE, file_digest, fingerprint

PROVENANCE = "provenance.json"


@functools.cache
def code_version() -> dict[str, str]:
    """Name the library's code: its version, and one digest of all its source files."""
    folder = Path(pet.__file__).parent
    sources = sorted(folder.rglob("*.py"))
    files = {path.relative_to(folder).as_posix(): file_digest(path) for path in sources}
    return {"pet": pet.__version__, "source": fingerprint(files=files)[:16]}


def write_provenance(inputs: Inputs) -> dict[str, Any]:
    """Write down what a finished run was made from and by what, for people and programs.

    What differs from one machine to the next, as paths and times, stands in `config.json` and
    `manifest.json`.
    """
    record = {
        "run": inputs.run_id,
        "task": {"name": inputs.task.name, "labels": list(inputs.task.labels)},
        "labeled_set": _labeled_set(inputs),
        "pool": {"digest": inputs.digests["pool"], "files": dict(inputs.pool_files)},
        "models": {
            "teacher": _base(inputs, "model"),
            **({"encoder": _base(inputs, "encoder")} if inputs.config.encoder else {}),
            "ensemble": _unit(inputs.folder / "soft_labels"),
            "student": {"base": _base(inputs, "student_model"), **_unit(inputs.folder / "student")},
        },
        "labeled_by": "student",
        "code": code_version(),
    }
    write_json(inputs.folder / PROVENANCE, record)
    return record


def _labeled_set(inputs: Inputs) -> dict[str, Any]:
    counts = dict.fromkeys(inputs.task.labels, 0)
    for index in inputs.labeled.labels.tolist():
        counts[inputs.task.labels[index]] += 1
    return {"rows": len(inputs.labeled), "counts": counts, "digest": inputs.digests["labeled"]}


def _base(inputs: Inputs, name: str) -> dict[str, Any]:
    """Name a model that a run starts from: what the user called it, and what was there."""
    ref, revision = {
        "model": (inputs.config.model, inputs.config.model_revision),
        "encoder": (inputs.config.encoder, inputs.config.encoder_revision),
        "student_model": inputs.student_ref,
    }[name]
    # Of a local folder the name alone: where it lies is this machine's affair.
    shown = Path(str(ref)).name if Path(str(ref)).exists() else ref
    return {"name": shown, "revision": revision, "digest": inputs.digests[name]}


def _unit(folder: Path) -> dict[str, Any]:
    record = read_record(folder / DONE)
    weights = {
        name: digest
        for name, digest in (record.get("files") or {}).items()
        if name.endswith(".safetensors")
    }
    found = {"made_from": record.get("fingerprint"), "weights": weights}
    if "weights" in record:
        found = {"made_from": record.get("fingerprint"), "members": record["weights"]}
    return found
