"""What the student learns of the soft labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.ensemble.logits import read_logits
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.reading import open_session
from pet.method.cross_fitting import correct
from pet.method.word_classifier import predict_out_of_fold, word_features
from pet.pipeline import label_pool
from pet.storage.units import Unit
from pet.student.soft_labels import OUT_OF_FOLD, folds_of_pool, read_soft_labels, read_targets
from tests.support import samples

Configure = Callable[..., Any]


def test_each_row_is_corrected_by_a_classifier_that_did_not_learn_it(
    config_for: Configure, tiny_run: Path
) -> None:
    session = open_session(config_for(out=tiny_run))
    soft, folds, unlabeled = (
        read_soft_labels(session),
        folds_of_pool(session),
        unlabeled_rows(session),
    )
    features = word_features(list(unlabeled.columns.values()))
    assert folds is not None
    assert features is not None
    logits = predict_out_of_fold(features[0], soft, folds, unlabeled.trainable)
    ids, stored = read_logits(tiny_run / "cross_fitting" / OUT_OF_FOLD)
    assert ids == unlabeled.ids
    np.testing.assert_array_equal(stored, logits)
    np.testing.assert_array_equal(
        read_targets(session, Unit(tiny_run / "cross_fitting", "", True)).soft_labels,
        correct(soft, logits, 2.0).soft_labels,
    )


def test_texts_without_a_word_in_common_leave_the_ensembles_labels_as_they_are(
    config_for: Configure, tmp_path: Path
) -> None:
    pool = samples.write_pool(tmp_path / "unlike.parquet", ["football", "spaceship", "??", "moon"])
    config = config_for(pool=str(pool), cross_fitting_folds=2)
    label_pool(config)
    session = open_session(config)
    learned = read_targets(session, Unit(session.folder / "cross_fitting", "", True))
    np.testing.assert_array_equal(learned.soft_labels, read_soft_labels(session))


def test_with_one_fold_the_ensemble_itself_teaches(config_for: Configure, tmp_path: Path) -> None:
    config = config_for(out=tmp_path / "paper", cross_fitting_folds=1)
    label_pool(config)
    assert not (tmp_path / "paper" / "cross_fitting").exists()
    session = open_session(config)
    learned = read_targets(session, None)
    np.testing.assert_array_equal(learned.soft_labels, read_soft_labels(session))
    assert (learned.kept, learned.share) == (None, 0)


@pytest.mark.parametrize("changes", [{"student": {"steps": 0}}, {"cross_fitting_folds": 1}])
def test_nobody_is_cross_fitted_where_nothing_is_learned(
    config_for: Configure, tiny_run: Path, changes: dict[str, Any]
) -> None:
    assert folds_of_pool(open_session(config_for(out=tiny_run, **changes))) is None


@pytest.mark.parametrize(("texts", "folds"), [(1, False), (2, True)])
def test_a_pool_of_one_text_leaves_nothing_to_learn_out_of_fold(
    config_for: Configure, tmp_path: Path, texts: int, folds: bool
) -> None:
    lines = ["a match was played", "a ship went up"][:texts] * 3
    pool = samples.write_pool(tmp_path / "few.parquet", lines)
    config = config_for(pool=str(pool), cross_fitting_folds=20)
    label_pool(config)
    assert (folds_of_pool(open_session(config)) is not None) == folds
