"""The members combined into soft labels, shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pet.ensemble.lineup import Lineup
from pet.ensemble.logits import logits_table
from pet.ensemble.member_models import prior_digests
from pet.ensemble.members import Member
from pet.ensemble.predictions import shard_names, stacked_logits
from pet.ensemble.rules import added_by_rules, rows_fired, rule_scores
from pet.ensemble.weights import ensemble_scaling, member_weights, scaled_pool
from pet.inputs.pool_sample import unlabeled_fingerprint
from pet.inputs.session import Session
from pet.method.several_labels import LabelScaling
from pet.storage.files import write_parquet
from pet.storage.units import Unit, fingerprint, make_unit
from pet.tasks.rules import rules_shape


def write_soft_labels(session: Session, lineup: Lineup, members: Sequence[Member]) -> Unit:
    """Combine the members into soft labels for every unlabeled row, shard by shard.

    They are calibrated, then softened: the student that learns from them takes the ensemble's
    calibration over.
    """
    config = session.config
    weights = member_weights(session, lineup, members)
    scaling = ensemble_scaling(session, lineup, members, weights)
    rules, added = session.task.rules, list[float]()
    if rules:
        added = added_by_rules(session, scaled_pool(session, members, weights, scaling))
    named_rules = {rule.name: own for rule, own in zip(rules, added, strict=True)}
    expected = fingerprint(
        members=[lineup.fingerprints[member] for member in members],
        weights=weights,
        rows=unlabeled_fingerprint(session),
        shard_rows=config.shard_rows,
        softened=config.temperature,
        scaled=scaling.shape(),
        **({"rules": rules_shape(rules), "added": added} if rules else {}),
    )

    outcome = session.outcome

    def build(folder: Path) -> dict[str, Any]:
        found = []
        fires = rows_fired(session, "pool") if rules else None
        for shard, name in enumerate(shard_names(session)):
            ids, logits = stacked_logits(session, members, name)
            combined = scaling.of(outcome.combine(logits, weights))
            if fires is not None:
                rows = slice(shard * config.shard_rows, shard * config.shard_rows + len(ids))
                combined += rule_scores(session.task, fires[rows], added)
            soft = outcome.probabilities(combined, config.temperature)
            write_parquet(folder / name, logits_table(ids, soft), {})
            found.append(combined)
        several = {}
        if isinstance(scaling, LabelScaling):
            own = outcome.fitted(outcome.probabilities(np.concatenate(found)))
            several = {"temperatures": scaling.temperatures, "thresholds": own.thresholds}
        named = {member.name: w for member, w in zip(members, weights, strict=True)}
        return {
            "weights": named,
            "ensemble_temperature": scaling.temperature,
            "ensemble_offsets": scaling.offsets,
            **several,
            "priors": prior_digests(config, session.folder, members),
            **({"rules": named_rules} if rules else {}),
        }

    return make_unit(session.folder / "soft_labels", expected, build)
