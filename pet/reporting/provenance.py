"""Where labels come from: which model, which files, which labeled set, which code."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pet
from pet.inputs.session import Session
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


def write_provenance(session: Session, labeled_by: str) -> dict[str, Any]:
    """Write down what a finished run was made from and by what, for people and programs.

    What differs from one machine to the next, as paths and times, stands in `config.json` and
    `manifest.json`.

    Args:
        labeled_by: which models label the pool.
    """
    record = {
        "run": session.inputs.run_id,
        "task": {"name": session.task.name, "labels": list(session.task.labels)},
        "labeled_set": _labeled_set(session),
        "pool": {"digest": session.digests["pool"], "files": dict(session.inputs.pool_files)},
        "models": {
            "teacher": _base(session, "model"),
            **({"encoder": _base(session, "encoder")} if session.config.encoder else {}),
            "ensemble": _unit(session.folder / "soft_labels"),
            "student": {
                "base": _base(session, "student_model"),
                **_unit(session.folder / "student"),
            },
        },
        "labeled_by": labeled_by,
        "code": code_version(),
    }
    write_json(session.folder / PROVENANCE, record)
    return record


def _labeled_set(session: Session) -> dict[str, Any]:
    found = session.outcome.counts(session.labeled.labels, len(session.task.labels)).tolist()
    counts = dict(zip(session.task.labels, found, strict=True))
    return {"rows": len(session.labeled), "counts": counts, "digest": session.digests["labeled"]}


def _base(session: Session, name: str) -> dict[str, Any]:
    """Name a model that a run starts from: what the user called it, and what was there."""
    named = {"student_model": session.config.student_ref, **session.config.model_refs()}
    ref, revision = named[name]
    # Of a local folder the name alone: where it lies is this machine's affair.
    shown = Path(ref).name if Path(ref).exists() else ref
    return {"name": shown, "revision": revision, "digest": session.digests[name]}


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
        if "rules" in record:
            found["rules"] = record["rules"]
    return found
