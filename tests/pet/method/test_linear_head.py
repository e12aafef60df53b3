"""The linear head of the encoder member: soft targets, missing labels, calibrated scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pet.method.ensembling import softmax
from pet.method.ipet import retention
from pet.method.linear_head import fit_calibrated, fit_head, fit_to_teachers, load_head

RNG = np.random.default_rng(0)
CENTRES = np.array([[3.0, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 3.0, 0]])
LABELS = np.repeat(np.arange(3), 8)
POINTS = CENTRES[LABELS] + RNG.normal(size=(24, 4))
GOLD = np.eye(3)[LABELS]
NOTHING = (np.zeros((0, 4)), np.zeros((0, 3), np.float32))


def test_hard_targets_give_scikit_learns_own_probabilities() -> None:
    model = LogisticRegression(C=10.0, max_iter=1000).fit(POINTS, LABELS)
    found = softmax(fit_head(POINTS, GOLD, 10.0).logits(POINTS))
    np.testing.assert_allclose(found, model.predict_proba(POINTS), atol=2e-3)


def test_two_labels_give_scikit_learns_own_probabilities() -> None:
    """For two labels scikit-learn keeps one row of coefficients instead of two."""
    two = LABELS < 2
    model = LogisticRegression(C=10.0, max_iter=1000).fit(POINTS[two], LABELS[two])
    found = softmax(fit_head(POINTS[two], np.eye(2)[LABELS[two]], 10.0).logits(POINTS[two]))
    np.testing.assert_allclose(found, model.predict_proba(POINTS[two]), atol=2e-3)


def test_a_soft_target_pulls_as_far_as_it_is_sure() -> None:
    """With targets of one half each everywhere, nothing is learned but that."""
    soft = np.tile([0.5, 0.5, 0.0], (24, 1))
    found = softmax(fit_head(POINTS, soft, 1.0).logits(POINTS))
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-2)


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_a_label_that_no_row_shows_is_the_least_likely_on_every_row(penalty: float) -> None:
    two = LABELS < 2
    logits = fit_head(POINTS[two], GOLD[two], penalty).logits(POINTS[two])
    assert np.isfinite(logits).all()
    assert (logits[:, 2] < logits[:, :2].min(axis=1)).all()


def test_a_single_label_gives_that_label_and_does_not_fail() -> None:
    logits = fit_head(POINTS[:8], GOLD[:8], 1.0).logits(POINTS)
    assert set(logits.argmax(axis=1)) == {0}


def test_a_label_that_no_row_shows_is_not_vetoed_in_the_ensemble() -> None:
    """It was the least likely of all on every row, and an ensemble gave it to none."""
    two = LABELS < 2
    found = fit_calibrated(POINTS[two], LABELS[two], *NOTHING, np.random.default_rng(0))
    logits = found.head.logits(POINTS)
    np.testing.assert_allclose(logits[:, 2], logits[:, :2].mean(axis=1), atol=1e-5)
    assert found.held_out is not None
    assert (found.held_out[:, 2] < found.held_out[:, :2].max(axis=1) - 1).all()


def test_labels_that_are_noise_give_a_member_low_confidence() -> None:
    """A head that learned nothing must not drown the patterns with confident nonsense."""
    noise = np.random.default_rng(1).integers(0, 3, 24)
    right = fit_calibrated(POINTS, LABELS, *NOTHING, np.random.default_rng(0))
    wrong = fit_calibrated(POINTS, noise, *NOTHING, np.random.default_rng(0))
    sure = [softmax(fitted.head.logits(POINTS)).max(axis=1).mean() for fitted in (right, wrong)]
    assert sure[0] > 0.8 > 0.65 > sure[1]
    assert right.held_out is not None
    assert wrong.held_out is not None
    learned = (right.held_out.argmax(axis=1) == LABELS).mean()
    by_chance = (wrong.held_out.argmax(axis=1) == noise).mean()
    assert learned > 0.8 > 0.6 > by_chance


def test_teachers_that_know_less_than_the_labeled_rows_are_not_listened_to() -> None:
    """Twenty-four labeled rows settle it; a hundred rows of nonsense would outvote them."""
    rng = np.random.default_rng(2)
    places = rng.integers(0, 3, 100)
    drawn = CENTRES[places] + rng.normal(size=(100, 4))
    wrong = np.eye(3, dtype=np.float32)[(places + 1) % 3]
    right = np.eye(3, dtype=np.float32)[places]
    misled = fit_calibrated(POINTS, LABELS, drawn, wrong, np.random.default_rng(0))
    assert misled.trust == 0
    assert (misled.head.logits(POINTS).argmax(axis=1) == LABELS).mean() > 0.9
    helped = fit_calibrated(POINTS, LABELS, drawn, right, np.random.default_rng(0))
    assert helped.trust > 0


def test_without_labeled_rows_the_drawn_ones_are_enough() -> None:
    none = np.zeros((0, 4)), np.zeros(0, np.int64)
    fitted = fit_calibrated(*none, POINTS, GOLD.astype(np.float32), np.random.default_rng(0))
    assert fitted.held_out is None
    assert (fitted.head.logits(POINTS).argmax(axis=1) == LABELS).mean() > 0.8


def test_one_labeled_row_cannot_be_cross_validated_and_does_not_fail() -> None:
    fitted = fit_calibrated(POINTS[:1], LABELS[:1], *NOTHING, np.random.default_rng(0))
    assert fitted.held_out is None


def test_a_head_survives_its_file_and_is_no_pickle(tmp_path: Path) -> None:
    head = fit_head(POINTS, GOLD, 1.0)
    head.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["head.safetensors"]
    np.testing.assert_array_equal(load_head(tmp_path).logits(POINTS), head.logits(POINTS))


def test_dividing_a_head_divides_its_logits() -> None:
    head = fit_head(POINTS, GOLD, 1.0)
    assert head.divided(2.0).logits(POINTS) == pytest.approx(head.logits(POINTS) / 2, abs=1e-5)


def test_labeled_rows_that_show_nothing_do_not_keep_a_head_from_learning_of_teachers() -> None:
    """Films' opinions are not seen in 50 rows: a penalty chosen there left one label for all."""
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(LABELS)
    drawn = POINTS.repeat(4, axis=0)
    taught = 0.6 * GOLD.repeat(4, axis=0).astype(np.float32) + 0.4 / GOLD.shape[1]
    fitted = fit_to_teachers(POINTS[:6], shuffled[:6], drawn, taught, rng)
    assert (fitted.head.logits(POINTS).argmax(axis=1) == LABELS).mean() > 0.8
    assert fitted.held_out is None, "teachers gave the labels away"


def test_a_head_retains_what_the_embeddings_show_and_nothing_else() -> None:
    """It is measured out of fold: a head reproduces what it was fitted to, whatever that is."""
    rng = np.random.default_rng(0)
    taught = 0.9 * GOLD.astype(np.float32) + 0.1 / GOLD.shape[1]
    shuffled = rng.permutation(taught)
    shown = fit_to_teachers(POINTS[:3], LABELS[:3], POINTS, taught, rng).of_drawn
    by_chance = fit_to_teachers(POINTS[:3], LABELS[:3], POINTS, shuffled, rng).of_drawn
    assert shown is not None
    assert by_chance is not None
    kept = retention(taught, shown.argmax(axis=1))
    kept_by_chance = retention(shuffled, by_chance.argmax(axis=1))
    assert kept is not None
    assert kept > 0.8
    assert kept_by_chance is not None
    assert kept_by_chance < 0.4


def test_a_head_is_as_confident_as_its_teachers_are_whatever_the_number_of_rows() -> None:
    """Logits that grew with the rows made later generations overconfident."""
    soft = 0.6 * GOLD.astype(np.float32) + 0.4 / GOLD.shape[1]
    rng = np.random.default_rng(0)
    for times in (2, 20):
        drawn, taught = POINTS.repeat(times, axis=0), soft.repeat(times, axis=0)
        head = fit_to_teachers(POINTS[:1], LABELS[:1], drawn, taught, rng).head
        confidence = softmax(head.logits(POINTS)).max(axis=1).mean()
        assert confidence == pytest.approx(soft.max(axis=1).mean(), abs=0.1)
