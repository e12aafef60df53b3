"""Drift of the newest rows from the reference of the present model."""

from __future__ import annotations

from pathlib import Path

from pet.method.drift import DriftTest, Sketch, find_drift
from pet.nightly.ledger import State
from pet.nightly.nightly_config import DriftConfig
from pet.reporting.drift_reference import read_reference


def watch(config: DriftConfig, state: State, sketch: Sketch) -> tuple[list[DriftTest], int]:
    """Look for drift in tonight's rows, and in those of earlier nights if they are few.

    Returns:
        The test results, and how many rows were compared; no results if the rows are too few.
    """
    assert state.model is not None, "a model has labeled them"
    now = sketch
    for entry in reversed(state.nights):
        if now.rows >= config.rows:
            break
        now = now + Sketch.from_json(entry.sketch or {})
    reference = read_reference(Path(state.model.run), state.model.predictor)
    if now.rows < config.rows:
        return [], now.rows
    return find_drift(reference, now, config.thresholds()), now.rows
