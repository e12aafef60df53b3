"""Linear classifiers of words: what a team would try first, in seconds, beside every run."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.data.labeled import LabeledSet
from pet.ensemble.logits import write_logits
from pet.inputs.pool_sample import texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session
from pet.method.word_classifier import PENALTY, word_features
from pet.progress import Tick
from pet.storage.units import Unit, fingerprint
from pet.student.soft_labels import read_targets

LINEAR_SUPERVISED, LINEAR_STUDENT = "linear_supervised", "linear_student"


def score_linear(session: Session, soft: Unit, out_of_fold: Unit | None) -> list[Unit]:
    """Write the test scores of logistic regression on TF-IDF, fitted in two ways.

    `linear_supervised` learns the labeled rows alone, `linear_student` what the student learns: how
    much of a result needs a language model for a student. A linear student and its baseline are
    these two themselves.
    """
    test = session.inputs.test
    if test is None or session.config.linear_student:
        return []
    corrected = [] if out_of_fold is None else [out_of_fold.fingerprint]
    taught_by: dict[str, Any] = {LINEAR_STUDENT: [soft.fingerprint, *corrected]}
    if len(session.labeled):
        taught_by[LINEAR_SUPERVISED] = session.digests["labeled"]
    features = functools.cache(lambda: _features(session, test))
    units = []
    for name, taught in taught_by.items():

        def make(tick: Tick, name: str = name) -> tuple[list[str], NDArray[np.float32]]:
            scores = _score(session, name, features(), out_of_fold)
            tick(len(test))
            return test.ids, scores

        path = session.folder / "evaluation" / f"{name}-test.parquet"
        expected = fingerprint(
            unit=name,
            taught=taught,
            rows=session.digests["test"],
            texts=texts_fingerprint(session),
            penalty=PENALTY,
        )
        units.append(
            write_logits(session.observer, path, expected, f"{name} on test", len(test), make)
        )
    return units


def _features(session: Session, test: LabeledSet) -> Any:
    """Return the words of pool, labeled and test rows; None where there are none."""
    rows = (unlabeled_rows(session), session.labeled, test)
    return word_features(*([own.columns[name] for name in session.task.fields] for own in rows))


def _score(
    session: Session, name: str, features: Any, out_of_fold: Unit | None
) -> NDArray[np.float32]:
    """Fit one of the two, and score the test rows. [rows, labels]"""
    assert session.inputs.test is not None, "nobody asks without test rows"
    labels = len(session.task.labels)
    if features is None:
        return np.zeros((len(session.inputs.test), labels), np.float32)
    of_pool, of_labeled, of_test = features
    if name == LINEAR_SUPERVISED:
        gold = session.outcome.targets(session.labeled.labels, labels)
        return session.outcome.fit_head(of_labeled, gold, PENALTY).logits(of_test)
    learned = read_targets(session, out_of_fold).soft_labels
    targets = session.outcome.unsoften(learned, session.config.temperature)
    rows = np.flatnonzero(unlabeled_rows(session).trainable)
    return session.outcome.fit_head(of_pool[rows], targets[rows], PENALTY).logits(of_test)
