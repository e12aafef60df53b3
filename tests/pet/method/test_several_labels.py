"""Several labels a text: each is calibrated, decided and drawn by itself."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score

from pet.method.linear_head import Chosen
from pet.method.several_labels import (
    LabelScaling,
    area_under_curve,
    base_log_odds,
    best_thresholds,
    correct_labels,
    fit_calibrated_heads,
    fit_label_heads,
    fit_label_scaling,
    fit_label_share,
    jaccard,
    kind_shares,
    label_retention,
    log_loss,
    log_odds,
    sigmoid,
    soften,
    strata_of,
    unsoften_labels,
    weighted_mean,
)

RNG = np.random.default_rng(0)
SHARES = np.array([0.5, 0.2, 0.05])


def rows(count: int, strength: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Draw known labels and evidence that knows them so well, scaled: (truth, evidence)."""
    rng = np.random.default_rng(1)
    truth = rng.random((count, 3)) < SHARES
    return truth, strength * (truth - SHARES) + rng.normal(size=truth.shape)


def test_a_rare_label_is_not_pulled_to_one_half() -> None:
    truth, evidence = rows(3000, strength=0.0)
    scaling = fit_label_scaling(evidence, truth, base_log_odds(truth))
    assert scaling.probabilities(evidence).mean(axis=0) == pytest.approx(SHARES, abs=0.03)


def test_scaled_evidence_is_calibrated_where_it_was_twice_too_large() -> None:
    truth, evidence = rows(4000)
    scaling = fit_label_scaling(6 * evidence, truth, base_log_odds(truth))
    probabilities = scaling.probabilities(6 * evidence)
    sure = probabilities > 0.7
    assert truth[sure].mean() == pytest.approx(probabilities[sure].mean(), abs=0.05)
    assert scaling.temperature > 2


def test_a_label_without_a_row_keeps_a_finite_offset() -> None:
    truth, evidence = rows(20)
    truth[:, 2] = False
    scaling = fit_label_scaling(evidence, truth, base_log_odds(truth))
    assert np.isfinite(scaling.offsets).all()
    assert scaling.probabilities(evidence)[:, 2].max() < 0.3


def test_members_of_a_later_generation_are_no_less_sure_and_as_frequent_as_before() -> None:
    truth, evidence = rows(2000)
    base = base_log_odds(truth)
    before = fit_label_scaling(evidence, truth, base).probabilities(evidence)
    flat = LabelScaling.around(base, 1.0).as_confident_as(evidence / 5, before)
    now = flat.probabilities(evidence / 5)
    assert now.mean(axis=0) == pytest.approx(before.mean(axis=0), abs=1e-3)
    assert log_loss(now, truth) == pytest.approx(log_loss(before, truth), abs=0.02)


def test_thresholds_give_nearly_the_best_f1_without_seeing_a_label() -> None:
    truth, evidence = rows(5000)
    probabilities = fit_label_scaling(evidence, truth, base_log_odds(truth)).probabilities(evidence)
    thresholds = best_thresholds(probabilities)
    assert max(thresholds) <= 0.5
    for label, own in enumerate(thresholds):
        grid = [
            f1_score(truth[:, label], probabilities[:, label] >= t) for t in np.arange(1, 20) / 20
        ]
        assert f1_score(truth[:, label], probabilities[:, label] >= own) > max(grid) - 0.03


def test_a_label_that_nobody_can_tell_is_not_given_to_every_row() -> None:
    probabilities = np.full((1000, 1), 0.05) + RNG.normal(0, 1e-3, (1000, 1))
    given = (probabilities >= best_thresholds(probabilities)).sum()
    assert given <= 80


def test_rows_are_of_the_kind_of_their_rarest_label() -> None:
    sets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1]], bool)
    assert strata_of(sets, np.array([9, 4, 2])).tolist() == [1, 0, 3, 2]


def test_equal_sets_agree_and_two_empty_ones_too() -> None:
    one = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0]], bool)
    other = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 0]], bool)
    assert jaccard(one, other).tolist() == [0.5, 1.0, 0.0]


def test_the_area_under_the_curve_is_scikit_learns() -> None:
    truth, evidence = rows(60, strength=1.0)
    expected = np.mean([roc_auc_score(truth[:, i], evidence[:, i]) for i in range(3)])
    assert area_under_curve(evidence, truth) == pytest.approx(expected)
    assert area_under_curve(evidence, np.ones_like(truth)) is None


def test_heads_are_scikit_learns_one_vs_rest() -> None:
    truth, evidence = rows(200)
    points = np.concatenate([evidence, RNG.normal(size=(200, 4))], axis=1)
    head = fit_label_heads(points, truth.astype(float), 10.0)
    for label in range(3):
        own = LogisticRegression(C=10.0, max_iter=2000).fit(points, truth[:, label])
        assert head.weight[:, label] == pytest.approx(own.coef_[0], abs=1e-2)


def test_a_head_of_evidence_gives_the_same_log_odds_as_one_without_a_base() -> None:
    truth, evidence = rows(200)
    base = base_log_odds(truth)
    plain = fit_label_heads(evidence, truth.astype(float), 1.0)
    of_evidence = fit_label_heads(evidence, truth.astype(float), 1.0, base=base)
    assert of_evidence.logits(evidence) + base == pytest.approx(plain.logits(evidence), abs=1e-2)


def test_a_label_that_no_row_has_gets_no_evidence() -> None:
    truth, evidence = rows(30)
    truth[:, 2] = False
    head = fit_label_heads(evidence, truth.astype(float), 1.0, base=base_log_odds(truth))
    assert not head.logits(evidence)[:, 2].any()


def test_an_encoder_is_scored_out_of_fold_and_bad_teachers_teach_nothing() -> None:
    truth, evidence = rows(80)
    wrong = 1 - truth.astype(np.float32)
    fitted = fit_calibrated_heads(
        evidence, truth, evidence, wrong, base_log_odds(truth), np.random.default_rng(0)
    )
    assert fitted.trust == 0.0
    assert fitted.held_out is not None
    known = log_loss(sigmoid(base_log_odds(truth) + fitted.held_out), truth)
    assert known < log_loss(np.broadcast_to(truth.mean(axis=0), truth.shape), truth)


def test_what_an_encoder_retains_of_its_teachers_is_measured_out_of_fold() -> None:
    truth, evidence = rows(80)
    base, rng = base_log_odds(truth), np.random.default_rng(0)
    before = Chosen(1.0, 1.0, 80)
    taught = sigmoid(evidence + base).astype(np.float32)
    shown = fit_calibrated_heads(evidence, truth, evidence, taught, base, rng, before).of_drawn
    shuffled = rng.permutation(taught)
    chance = fit_calibrated_heads(evidence, truth, evidence, shuffled, base, rng, before).of_drawn
    assert shown is not None
    assert chance is not None
    kept, kept_by_chance = label_retention(taught, shown), label_retention(shuffled, chance)
    assert kept is not None
    assert kept > 0.8
    assert kept_by_chance is not None
    assert kept_by_chance < 0.4


def test_the_better_of_two_models_gets_the_larger_share() -> None:
    truth, evidence = rows(300)
    base = base_log_odds(truth)
    good, noise = evidence + base, RNG.normal(size=truth.shape) + base
    assert fit_label_share(np.stack([good, noise]), truth, base) < 0.4
    assert fit_label_share(np.stack([noise, good]), truth, base) > 0.6


def test_softening_can_be_taken_back() -> None:
    probabilities = np.array([[0.01, 0.5, 0.93]])
    assert unsoften_labels(soften(log_odds(probabilities), 2.0), 2.0) == pytest.approx(
        probabilities
    )


def test_knowledge_is_kept_by_whoever_ranks_as_the_teachers_do() -> None:
    _, evidence = rows(500)
    teachers = sigmoid(evidence - 1)
    assert label_retention(teachers, evidence) == pytest.approx(1.0)
    assert abs(label_retention(teachers, RNG.normal(size=evidence.shape)) or 0) < 0.2
    assert label_retention(np.full((9, 2), 0.3), np.zeros((9, 2))) is None


def test_classifiers_correct_soft_labels_and_keep_how_frequent_labels_are() -> None:
    truth, evidence = rows(1000, strength=3.0)
    base = base_log_odds(truth)
    noisy = soften(base + evidence, 2.0)
    better = 4 * (truth - SHARES) + RNG.normal(size=truth.shape)
    found = correct_labels(noisy, better, 2.0)
    assert found.share > 0
    before, after = unsoften_labels(noisy, 2.0), unsoften_labels(found.soft_labels, 2.0)
    assert log_loss(after, truth) < log_loss(before, truth)
    assert after.mean(axis=0) == pytest.approx(before.mean(axis=0), abs=0.02)


def test_members_that_do_not_know_a_row_do_not_count_for_it() -> None:
    logits = np.array([[[1.0], [1.0]], [[3.0], [3.0]]])
    mask = np.array([[True, True], [True, False]])
    assert weighted_mean(logits, np.array([1.0, 3.0]), mask).ravel().tolist() == [2.5, 1.0]
    assert weighted_mean(logits, np.array([0.0, 0.0])).ravel().tolist() == [2.0, 2.0]


def test_a_pool_is_given_the_shares_that_its_labels_are_known_to_have() -> None:
    logits = np.random.default_rng(5).normal(size=(300, 3)) * 3
    shares = (0.6, 0.2, 0.01)
    matched = LabelScaling.around(np.zeros(3), 0.7).matched(logits, shares)
    assert matched.probabilities(logits).mean(axis=0) == pytest.approx(shares, abs=1e-6)
    assert matched.temperatures == (0.7,) * 3


def test_kinds_of_texts_are_as_common_as_independent_labels_make_them() -> None:
    found = kind_shares((0.5, 0.1, 0.2))
    assert found == pytest.approx([0.9 * 0.8 * 0.5, 0.1, 0.9 * 0.2, 0.9 * 0.8 * 0.5])
    assert found.sum() == pytest.approx(1)
