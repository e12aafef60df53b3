"""One label a text or any number: the same questions, and what would differ."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.calibration import Scaling, calibration_offset
from pet.method.ensembling import combine, softmax
from pet.method.ipet import draw_rows
from pet.method.outcomes import ONE, AnyLabels, Outcome, outcome_of

RNG = np.random.default_rng(0)
SETS = RNG.random((40, 3)) < [0.6, 0.3, 0.1]
ANY = AnyLabels.of(SETS)


def test_one_label_is_computed_by_the_formulas_of_before() -> None:
    logits, truth = RNG.normal(size=(2, 9, 3)), RNG.integers(3, size=9)
    assert (ONE.combine(logits, [1.0, 2.0]) == combine(logits, [1.0, 2.0])).all()
    assert (ONE.probabilities(logits[0], 2.0) == softmax(logits[0], 2.0)).all()
    offset = calibration_offset(logits[0], "half-matched")
    assert (ONE.prior_offset(logits[0], "half-matched") == offset).all()
    assert ONE.fit_scaling(logits[0], truth, 3.0, offsets=False).offsets == (0.0, 0.0, 0.0)
    drawn = [
        own(np.random.default_rng(1))
        for own in (
            lambda rng: draw_rows(
                softmax(logits[0]), np.array([1, 1, 1]), rng, trainable=np.ones(9, bool)
            ),
            lambda rng: ONE.draw(
                softmax(logits[0]), np.array([1, 1, 1]), truth, rng, trainable=np.ones(9, bool)
            ),
        )
    ]
    assert drawn[0].rows.tolist() == drawn[1].rows.tolist()


def test_the_outcome_follows_from_the_task_file() -> None:
    assert outcome_of("one", np.zeros(3, int)) is ONE
    assert outcome_of("any", SETS).several
    assert ONE.thresholds == ()


def test_a_word_that_scores_high_anyway_is_no_evidence() -> None:
    scores = RNG.normal(size=(50, 3)) + np.array([5.0, 0.0, -5.0])
    assert (scores + ANY.prior_offset(scores, "half-matched")).mean(axis=0) == pytest.approx(0.0)


def test_without_evidence_a_label_is_as_likely_as_it_is_frequent() -> None:
    probabilities = ANY.of_member(np.zeros((1, 3)))[0]
    assert probabilities == pytest.approx((SETS.sum(axis=0) + 0.5) / 41)


def test_every_label_has_its_own_threshold() -> None:
    decided = AnyLabels((), (0.2, 0.9, 0.5))
    assert decided.choose(np.array([[0.3, 0.8, 0.5]])).tolist() == [[True, False, True]]


def test_drawn_rows_keep_the_labels_shares_and_rows_with_none() -> None:
    truth = RNG.random((4000, 3)) < [0.5, 0.2, 0.05]
    probabilities = np.where(truth, 0.9, 0.05)
    labeled = AnyLabels.of(truth[:100])
    counts = np.bincount(labeled.strata(truth[:100]), minlength=4)
    drawn = labeled.draw(
        probabilities,
        4 * counts,
        truth[:100],
        np.random.default_rng(0),
        trainable=np.ones(4000, bool),
    )
    assert len(set(drawn.rows.tolist())) == len(drawn.rows)
    shares = truth[drawn.rows].mean(axis=0)
    assert shares == pytest.approx(truth[:100].mean(axis=0), abs=0.08)
    none = ~truth[drawn.rows].any(axis=1)
    assert none.mean() == pytest.approx((~truth[:100].any(axis=1)).mean(), abs=0.08)
    targets = labeled.drawn_targets(probabilities, drawn)
    assert (targets == truth[drawn.rows]).mean() > 0.95


def test_members_vote_by_the_scaling_of_the_ensemble() -> None:
    scaling = ANY.plain_scaling(1.0, 3)
    logits = np.stack([np.full((2, 3), 9.0), np.full((2, 3), -9.0)])
    votes = ANY.votes(logits, scaling)
    assert votes[0].all()
    assert not votes[1].any()
    assert ANY.agreement(votes, votes[0]).tolist() == [0.5, 0.5]
    assert ONE.votes(logits, Scaling.plain(1.0, 3)).shape == (2, 2)


def test_patterns_that_know_nothing_weigh_nothing() -> None:
    assert ANY.accuracy_weight(SETS.astype(float), SETS) == 1.0
    assert ANY.accuracy_weight(np.zeros(SETS.shape), SETS) == 0.0
    assert ANY.is_informative(SETS, SETS.astype(float))
    assert not ANY.is_informative(SETS, np.zeros(SETS.shape))


def test_known_shares_say_how_common_labels_are_before_any_row_does() -> None:
    known = outcome_of("any", SETS, (0.5, 0.9, 0.1))
    assert known.of_member(np.zeros((1, 3)))[0] == pytest.approx([0.5, 0.9, 0.1])
    assert outcome_of("one", None, (0.5, 0.4, 0.1)) is ONE
    nothing = np.zeros((0, 3), bool)
    chances = np.array([[0.9, 0.9, 0.9], [0.9, 0.9, 0.1]])
    draw = known.draw(
        chances,
        np.array([1, 1, 1, 0]),
        nothing,
        np.random.default_rng(0),
        trainable=np.ones(2, bool),
    )
    assert draw.labels.tolist() == [0, 2], "by the rarest label of each, as the shares have it"


def test_how_sure_members_are_of_a_label_is_told_by_the_rows_that_get_it() -> None:
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.2], [0.1, 0.5]])
    assert ANY.mean_confidence(chances) == pytest.approx([0.85, 0.5])
    assert ONE.mean_confidence(chances) == pytest.approx([0.6, 0.6])
    assert ONE.has(np.array([0, 1]), np.array([1, 1])).tolist() == [[False] * 2, [True] * 2]
    assert ANY.has(np.array([[True, False]]), np.array([1, 0])).tolist() == [[False, True]]


@pytest.mark.parametrize("outcome", [ONE, AnyLabels()])
def test_scores_that_are_half_of_what_they_should_be_are_divided_by_a_half(
    outcome: Outcome,
) -> None:
    """A linear student was as right as others, and far less sure."""
    scores = np.random.default_rng(0).normal(size=(50, 3)) * 3
    found = outcome.temperature_of(scores / 2, outcome.probabilities(scores))
    assert found == pytest.approx(0.5, abs=0.01)


def test_the_only_row_of_a_label_does_not_weigh_an_encoder_that_was_fitted_without_it() -> None:
    """Out of fold it cannot know that label; the encoder that is kept has seen the row."""
    truth = np.array([0, 1] * 8 + [2, 3, 4])
    encoder = 3.0 * np.eye(5)[truth]
    encoder[-3:] = -encoder[-3:]
    patterns = 0.5 * np.eye(5)[truth]
    share = ONE.mix_share(Scaling.plain(1.0, 5), patterns, encoder, truth)
    assert share == ONE.mix_share(Scaling.plain(1.0, 5), patterns[:-3], encoder[:-3], truth[:-3])
    alone = ONE.mix_share(Scaling.plain(1.0, 5), patterns[-3:], encoder[-3:], truth[-3:])
    assert alone < 0.5, "where no label has two rows, all count"
