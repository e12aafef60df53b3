"""A linear student, and its baseline: logistic regression on TF-IDF of words, fitted in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.inputs.pool_sample import texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session
from pet.method.cross_fitting import deal_texts
from pet.method.word_classifier import PENALTY, fit_word_classifier
from pet.storage.units import Unit, fingerprint, make_unit
from pet.student.distillation import keep_student
from pet.student.soft_labels import read_targets

FOLDS = 5  # one of which is held out


def fit_linear_student(session: Session, soft: Unit, out_of_fold: Unit | None) -> Unit:
    """Fit the student to the ensemble's calibrated probabilities of all unlabeled rows.

    It learns the probabilities themselves: a convex fit has no use for softened ones. The penalty
    makes it less sure than they are, so that its logits are divided by the temperature that fits
    a fifth of the rows, predicted by a fit to the others.

    Args:
        out_of_fold: predictions that correct the ensemble's; it teaches alone if there are none.
    """
    expected = fingerprint(
        unit="linear student",
        soft_labels=soft.fingerprint,
        out_of_fold=None if out_of_fold is None else out_of_fold.fingerprint,
        temperature=session.config.temperature,
        held_out=[FOLDS, session.seed("linear student")],
        **_shape(session),
    )

    def build(folder: Path) -> dict[str, Any]:
        unlabeled, learned = unlabeled_rows(session), read_targets(session, out_of_fold)
        rows = np.flatnonzero(unlabeled.trainable)
        targets = session.outcome.unsoften(learned.soft_labels, session.config.temperature)
        columns = [unlabeled.columns[name] for name in session.task.fields]
        fit = session.outcome.fit_head
        held_out, others = _split(session, columns, rows)
        temperature = 1.0
        if len(held_out) and len(others):
            part = fit_word_classifier(columns, others, targets[others], fit)
            logits = part.logits([[own[row] for row in held_out] for own in columns])
            temperature = session.outcome.temperature_of(logits, targets[held_out])
        whole = fit_word_classifier(columns, rows, targets[rows], fit)
        keep_student(session, replace(whole, head=whole.head.divided(temperature)), folder)
        return {
            "kept_in_folds": learned.kept,
            "share_of_folds": learned.share,
            "divided_by": round(temperature, 4),
        }

    return make_unit(session.folder / "student", expected, build)


def fit_linear_supervised(session: Session) -> Unit:
    """Fit the same to the labeled rows alone, by the words of the unlabeled ones."""
    expected = fingerprint(
        unit="linear supervised", labeled=session.digests["labeled"], **_shape(session)
    )

    def build(folder: Path) -> dict[str, Any]:
        of_pool, labeled = unlabeled_rows(session).columns, session.labeled
        gold = session.outcome.targets(labeled.labels, len(session.task.labels))
        texts, learned = (
            [columns[name] for name in session.task.fields]
            for columns in (of_pool, labeled.columns)
        )
        keep_student(
            session, fit_word_classifier(texts, learned, gold, session.outcome.fit_head), folder
        )
        return {}

    return make_unit(session.folder / "supervised", expected, build)


def _split(
    session: Session, columns: Sequence[Sequence[str]], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hold out a fold of the rows that are learned from; rows of the same text stay together."""
    rng = np.random.default_rng(session.seed("linear student"))
    folds = deal_texts(columns, FOLDS, rng)[rows]
    return rows[folds == 0], rows[folds != 0]


def _shape(session: Session) -> dict[str, object]:
    return {
        "texts": texts_fingerprint(session),
        "labels": session.task.labels,
        "fields": session.task.fields,
        "labels_per_text": session.task.labels_per_text,
        "penalty": PENALTY,
    }
