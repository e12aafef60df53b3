"""A linear student, and its baseline: logistic regression on TF-IDF of words, fitted in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pet.inputs.pool_sample import texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session
from pet.method.word_classifier import PENALTY, fit_word_classifier
from pet.storage.units import Unit, fingerprint, make_unit
from pet.student.distillation import keep_student
from pet.student.soft_labels import read_targets


def fit_linear_student(session: Session, soft: Unit, out_of_fold: Unit | None) -> Unit:
    """Fit the student to the ensemble's calibrated probabilities of all unlabeled rows.

    It learns the probabilities themselves: a convex fit has no use for softened ones.

    Args:
        out_of_fold: predictions that correct the ensemble's; it teaches alone if there are none.
    """
    expected = fingerprint(
        unit="linear student",
        soft_labels=soft.fingerprint,
        out_of_fold=None if out_of_fold is None else out_of_fold.fingerprint,
        temperature=session.config.temperature,
        **_shape(session),
    )

    def build(folder: Path) -> dict[str, Any]:
        unlabeled, learned = unlabeled_rows(session), read_targets(session, out_of_fold)
        rows = np.flatnonzero(unlabeled.trainable)
        targets = session.outcome.unsoften(learned.soft_labels, session.config.temperature)
        columns = [unlabeled.columns[name] for name in session.task.fields]
        model = fit_word_classifier(columns, rows, targets[rows], session.outcome.fit_head)
        keep_student(session, model, folder)
        return {"kept_in_folds": learned.kept, "share_of_folds": learned.share}

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


def _shape(session: Session) -> dict[str, object]:
    return {
        "texts": texts_fingerprint(session),
        "labels": session.task.labels,
        "fields": session.task.fields,
        "labels_per_text": session.task.labels_per_text,
        "penalty": PENALTY,
    }
