"""Linear classifiers of words: what a team would try first, in seconds, beside every run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.ensemble.logits import write_logits
from pet.inputs.pool_sample import texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session
from pet.method.ensembling import softmax
from pet.method.linear_head import fit_head
from pet.method.word_classifier import PENALTY, word_features
from pet.models.training import one_hot
from pet.progress import Tick
from pet.storage.units import Unit, fingerprint
from pet.student.soft_labels import read_targets

LINEAR_SUPERVISED, LINEAR_STUDENT = "linear_supervised", "linear_student"


def score_linear(session: Session, soft: Unit, out_of_fold: Unit | None) -> list[Unit]:
    """Write the test scores of logistic regression on TF-IDF, fitted in two ways.

    `linear_supervised` learns the labeled rows alone, `linear_student` what the student learns: how
    much of a result needs a language model for a student.
    """
    test = session.inputs.test
    if test is None:
        return []
    source = {
        "rows": session.digests["test"],
        "texts": texts_fingerprint(session),
        "penalty": PENALTY,
    }
    taught_by: dict[str, Any] = {
        LINEAR_STUDENT: [soft.fingerprint, getattr(out_of_fold, "fingerprint", "")]
    }
    if len(session.labeled):
        taught_by[LINEAR_SUPERVISED] = session.digests["labeled"]
    units = []
    for name, taught in taught_by.items():

        def make(tick: Tick, name: str = name) -> tuple[list[str], NDArray[np.float32]]:
            return test.ids, _predict(session, name, out_of_fold)

        path = session.folder / "evaluation" / f"{name}-test.parquet"
        expected = fingerprint(unit=name, taught=taught, **source)
        units.append(
            write_logits(session.observer, path, expected, f"{name} on test", len(test), make)
        )
    return units


def _predict(session: Session, name: str, out_of_fold: Unit | None) -> NDArray[np.float32]:
    """Fit one of the two, and score the test rows. [rows, labels]"""
    unlabeled, labeled, test = unlabeled_rows(session), session.labeled, session.inputs.test
    assert test is not None, "nobody asks without test rows"
    fields = session.task.fields
    features = word_features(
        *([own.columns[field] for field in fields] for own in (unlabeled, labeled, test))
    )
    labels = len(session.task.labels)
    if features is None:
        return np.zeros((len(test), labels), np.float32)
    of_pool, of_labeled, of_test = features
    if name == LINEAR_SUPERVISED:
        return fit_head(of_labeled, one_hot(labeled.labels, labels), PENALTY).logits(of_test)
    targets = read_targets(session, out_of_fold).soft_labels
    hard = softmax(np.log(targets + 1e-9), 1 / session.config.temperature)  # as they are calibrated
    rows = np.flatnonzero(unlabeled.trainable)
    return fit_head(of_pool[rows], hard[rows], PENALTY).logits(of_test)
