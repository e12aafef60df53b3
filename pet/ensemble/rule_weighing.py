"""How far labeled rows, and the members of generation 0, confirm a task's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pet.ensemble.lineup import Lineup
from pet.ensemble.predictions import pool_logits
from pet.ensemble.rules import FIRES, PRECISIONS, labels_of_rules, rows_fired
from pet.ensemble.weights import expected_scaling, member_weights
from pet.inputs.session import Session
from pet.method.rule_reliability import agreement_with
from pet.storage.files import read_record
from pet.storage.units import DONE, Unit, fingerprint, make_unit


def weigh_rules(session: Session, lineup: Lineup) -> Unit:
    """Write in how many labeled rows each rule is right, and how far generation 0 agrees with it.

    It is counted on all labeled rows, since rules have learned from none, and held against what
    generation 0 predicts of the pool: teachers of later members have learned from the rules.
    """
    first = lineup.first
    weights = member_weights(session, lineup, first)
    scaling = expected_scaling(session, lineup, first, weights)
    expected = fingerprint(
        unit="agreement with rules",
        fires=read_record(session.folder / FIRES / DONE)["fingerprint"],
        labeled=session.digests["labeled"],
        members=[lineup.fingerprints[member] for member in first],
        weights=weights,
        scaled=[scaling.temperature, scaling.offsets],
    )

    def build(folder: Path) -> dict[str, Any]:
        task, labels, outcome = session.task, labels_of_rules(session.task), session.outcome
        fired = right = np.zeros(len(labels), np.int64)
        if len(session.labeled):
            fires = rows_fired(session, "labeled")
            fired = fires.sum(axis=0)
            right = (fires & outcome.has(session.labeled.labels, labels)).sum(axis=0)
        combined = outcome.combine(pool_logits(session, first), weights)
        scores = scaling.probabilities(combined)
        fires = rows_fired(session, "pool")
        agreement = agreement_with(scores, fires, labels, outcome.mean_confidence(scores))
        return {
            "rules": {
                rule.name: {
                    "fired": int(fired[place]),
                    "right": int(right[place]),
                    "agreement": _number(agreement.share[place]),
                    "kappa": _number(agreement.kappa[place]),
                }
                for place, rule in enumerate(task.rules)
            }
        }

    return make_unit(session.folder / PRECISIONS, expected, build)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
