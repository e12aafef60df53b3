"""What the student learns from: the ensemble's soft labels, and those of students in folds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.ensemble.lineup import Lineup
from pet.ensemble.logits import logits_table, read_logits
from pet.ensemble.members import Member
from pet.ensemble.predictions import shard_names, stacked_logits
from pet.ensemble.weights import ensemble_scaling, member_weights
from pet.inputs.pool_sample import unlabeled_fingerprint, unlabeled_rows
from pet.inputs.session import Session
from pet.method.cross_fitting import Correction, correct, deal_texts
from pet.method.ensembling import combine, softmax
from pet.storage.files import write_parquet
from pet.storage.units import Unit, fingerprint, make_unit

FOLD_LOGITS = "held_out.parquet"  # of a fold's rows, by the student trained on the others


def write_soft_labels(session: Session, lineup: Lineup, members: Sequence[Member]) -> Unit:
    """Combine the members into soft labels for every unlabeled row, shard by shard.

    They are calibrated, then softened: the student that learns from them takes the ensemble's
    calibration over.
    """
    config = session.config
    weights = member_weights(session, lineup, members)
    scaling = ensemble_scaling(session, lineup, members, weights)
    expected = fingerprint(
        members=[lineup.fingerprints[member] for member in members],
        weights=weights,
        rows=unlabeled_fingerprint(session),
        shard_rows=config.shard_rows,
        softened=config.temperature,
        scaled=[scaling.temperature, scaling.offsets],
    )

    def build(folder: Path) -> dict[str, Any]:
        for name in shard_names(session):
            ids, logits = stacked_logits(session, members, name)
            combined = scaling.of(combine(logits, weights))
            soft = softmax(combined, config.temperature)
            write_parquet(folder / name, logits_table(ids, soft), {})
        named = {member.name: w for member, w in zip(members, weights, strict=True)}
        return {
            "weights": named,
            "ensemble_temperature": scaling.temperature,
            "ensemble_offsets": scaling.offsets,
        }

    return make_unit(session.folder / "soft_labels", expected, build)


def read_soft_labels(session: Session) -> NDArray[np.float32]:
    """Read the soft labels of all unlabeled rows, in their order. [rows, labels]"""
    files = sorted((session.folder / "soft_labels").glob("part-*.parquet"))
    return np.concatenate([read_logits(path)[1] for path in files])


def folds_of_pool(session: Session) -> NDArray[np.int64] | None:
    """Deal the unlabeled rows into `student_folds`; None where nobody is to be cross-fitted. [rows]

    Every fold leaves some rows to learn from, however few texts there are.
    """
    config, unlabeled = session.config, unlabeled_rows(session)
    if config.student_folds < 2 or not config.student.steps:
        return None
    rng = np.random.default_rng(session.seed("cross-fitting"))
    folds = deal_texts(list(unlabeled.columns.values()), config.student_folds, rng)
    learned = folds[unlabeled.trainable]
    return folds if len(np.unique(learned)) > 1 else None


def read_targets(session: Session, students: Sequence[Unit]) -> Correction:
    """Read what the student learns of all unlabeled rows.

    Args:
        students: one per fold, in order; without them the targets are the ensemble's.
    """
    soft = read_soft_labels(session)
    folds = folds_of_pool(session)
    if folds is None:
        return Correction(soft, None, 0.0)
    logits = np.empty_like(soft)
    for fold, unit in enumerate(students):
        logits[folds == fold] = read_logits(session.folder / unit.path / FOLD_LOGITS)[1]
    return correct(soft, logits, session.config.temperature)
