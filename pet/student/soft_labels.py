"""What the student learns from: the ensemble's soft labels, read back and corrected out of fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.ensemble.logits import logits_table, read_logits
from pet.inputs.pool_sample import texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session, StoredRun
from pet.method.calibration import Scaling
from pet.method.cross_fitting import Correction, deal_texts
from pet.method.outcomes import AnyLabels, Outcome
from pet.method.several_labels import LabelScaling
from pet.method.word_classifier import PENALTY, predict_out_of_fold, word_features
from pet.storage.files import read_record, write_parquet
from pet.storage.units import DONE, Unit, fingerprint, make_unit

OUT_OF_FOLD = "held_out.parquet"


def read_scaling(record: Mapping[str, Any], outcome: Outcome, labels: int) -> Scaling:
    """Read what calibrates an ensemble from the record of its soft labels.

    Args:
        labels: how many there are.

    Raises:
        TypeError, ValueError, KeyError: it is another record.
    """
    none = [0.0] * labels  # as in runs of earlier versions
    offsets = tuple(float(offset) for offset in record.get("ensemble_offsets", none))
    if len(offsets) != labels:
        raise ValueError("offsets of other labels")
    temperature = float(record["ensemble_temperature"])
    if not outcome.several:
        return Scaling(temperature, offsets)
    temperatures = tuple(float(own) for own in record["temperatures"])
    if len(temperatures) != labels:
        raise ValueError("temperatures of other labels")
    return LabelScaling(temperature, offsets, temperatures)


def decided_outcome(run: StoredRun) -> Outcome:
    """Return what a text's labels can be, with the thresholds of the run's ensemble."""
    if not isinstance(run.outcome, AnyLabels):
        return run.outcome
    record = read_record(run.folder / "soft_labels" / DONE)
    return replace(run.outcome, decided=tuple(map(float, record["thresholds"])))


def read_soft_labels(run: StoredRun) -> NDArray[np.float32]:
    """Read the soft labels of all unlabeled rows, in their order. [rows, labels]"""
    files = sorted((run.folder / "soft_labels").glob("part-*.parquet"))
    return np.concatenate([read_logits(path)[1] for path in files])


def folds_of_pool(session: Session) -> NDArray[np.int64] | None:
    """Deal the unlabeled rows into folds; None where there is to be no cross-fitting. [rows]

    Every fold leaves some rows to learn from, however few texts there are.
    """
    config, unlabeled = session.config, unlabeled_rows(session)
    untrained = not (config.student.steps or config.linear_student)
    if config.cross_fitting_folds < 2 or untrained:
        return None
    rng = np.random.default_rng(session.seed("cross-fitting"))
    folds = deal_texts(list(unlabeled.columns.values()), config.cross_fitting_folds, rng)
    learned = folds[unlabeled.trainable]
    return folds if len(np.unique(learned)) > 1 else None


def cross_fit(session: Session, soft: Unit) -> Unit:
    """Write what a linear classifier of the words of the other folds predicts of each row."""
    expected = fingerprint(
        unit="cross-fitting",
        soft_labels=soft.fingerprint,
        rows=texts_fingerprint(session),
        folds=session.config.cross_fitting_folds,
        seed=session.seed("cross-fitting"),
        penalty=PENALTY,
        temperature=session.config.temperature,
    )

    def build(folder: Path) -> dict[str, Any]:
        unlabeled, folds = unlabeled_rows(session), folds_of_pool(session)
        assert folds is not None, "nobody asks for folds where there are none"
        targets = read_soft_labels(session)
        features = word_features(list(unlabeled.columns.values()))
        if features is None:
            logits = np.zeros_like(targets)
        else:
            logits = predict_out_of_fold(
                features[0], targets, folds, unlabeled.trainable, session.outcome.fit_head
            )
        write_parquet(folder / OUT_OF_FOLD, logits_table(unlabeled.ids, logits), {})
        return {}

    return make_unit(session.folder / "cross_fitting", expected, build)


def read_targets(session: Session, out_of_fold: Unit | None) -> Correction:
    """Read what the student learns of all unlabeled rows.

    Args:
        out_of_fold: predictions that correct the ensemble's; without them it teaches alone.
    """
    soft = read_soft_labels(session)
    if out_of_fold is None:
        return Correction(soft, None, 0.0)
    logits = read_logits(session.folder / out_of_fold.path / OUT_OF_FOLD)[1]
    return session.outcome.correct(soft, logits, session.config.temperature)
