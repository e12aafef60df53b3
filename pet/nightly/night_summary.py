"""What a night did and how things stand: for the screen, for programs, for Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pet.nightly.arrivals import Arrivals
from pet.nightly.label_store import version_folder
from pet.nightly.ledger import Entry, FileRecord, State


def describe_store(store: Path, state: State, last: Entry | None) -> dict[str, Any]:
    """Describe the state of a store: the model, its labels, files that need a person, drift.

    Args:
        last: the last night with new texts, also if the drift of it has just renewed the model.
    """
    assert state.model is not None, "a model was adopted first"
    return {
        "store": str(store),
        "labels": str(version_folder(store, state.model)),
        "model": state.model.model_dump(),
        "files": len(set(state.files) - state.deleted),
        "bad": {name: bad.model_dump() for name, bad in sorted(state.bad.items())},
        "passed_over": state.passed_over,
        "drift": last.drift if last else [],
        "drift_rows": last.drift_rows if last else 0,
    }


def describe_arrivals(
    found: Arrivals, labeled: Mapping[str, FileRecord], labels: Sequence[str]
) -> dict[str, Any]:
    """Describe what was new in the pool."""
    counts: dict[str, int] = dict.fromkeys(labels, 0)
    for file in labeled.values():
        for label, count in file.counts.items():
            counts[label] += count
    return {
        "labeled": {name: file.model_dump() for name, file in labeled.items()},
        "rows": sum(file.rows for file in labeled.values()),
        "counts": counts,
        "replaced": sorted(name for name in found.replaced if name in labeled),
        "deleted": found.deleted,
        "returned": found.returned,
        "late": sorted(set(found.late)),
        "unreadable": found.unreadable,
    }
