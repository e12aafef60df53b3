"""iPET's numpy cores against the paper's own numbers."""

import numpy as np
import pytest

from pet.method.ipet import (
    Growth,
    choose_teachers,
    count_generations,
    degradation,
    draw_rows,
    generation_quotas,
    measure_growth,
    retention,
)

EVERY = np.ones(6, dtype=bool)
SAID = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8], [0.45, 0.55]])


@pytest.mark.parametrize(
    ("labeled", "expected"), [(10, 3), (50, 2), (100, 2), (1000, 0), (5000, 0), (8, 3), (0, 4)]
)
def test_generation_counts_are_the_papers_and_not_one_off(labeled: int, expected: int) -> None:
    assert count_generations(labeled) == expected


def test_sizes_grow_fivefold_and_keep_the_labeled_sets_ratio() -> None:
    # |T| = 10 with 2 and 8 rows: members see 50 rows in generation 1, 250 in generation 2.
    assert generation_quotas([2, 8], 1).tolist() == [8, 32]
    assert generation_quotas([2, 8], 2).tolist() == [48, 192]


def test_a_label_without_a_labeled_row_is_still_drawn() -> None:
    assert generation_quotas([0, 4], 1).tolist() == [5, 16]


def test_a_small_factor_draws_a_row_of_every_label_all_the_same() -> None:
    """Half a row rounds to none: the run ended, and the pool was blamed for it."""
    assert generation_quotas([1, 1], 1, 1.5).tolist() == [1, 1]
    assert generation_quotas([1, 4], 1, 1.05).tolist() == [1, 1]


def test_without_labels_the_first_generation_has_the_papers_ten_rows_in_equal_shares() -> None:
    assert generation_quotas([0, 0], 1).tolist() == [5, 5]
    assert generation_quotas([0, 0], 2).tolist() == [25, 25]
    assert generation_quotas([0] * 20, 1).tolist() == [1] * 20


def test_more_rows_for_the_first_generation_without_labels_leave_fewer_generations() -> None:
    assert generation_quotas([0] * 5, 1, first=50).tolist() == [10] * 5
    assert generation_quotas([0] * 5, 2, first=50).tolist() == [50] * 5
    assert count_generations(0, first=50) == 3
    assert count_generations(0, first=1000) == 1


def test_a_member_never_teaches_itself() -> None:
    for seed in range(50):
        assert 2 not in choose_teachers(2, 9, np.random.default_rng(seed), 0.25)
    assert choose_teachers(2, 4, np.random.default_rng(0), 1.0) == [0, 1, 3]


def test_a_quarter_of_two_others_is_one_teacher_and_not_none() -> None:
    assert len(choose_teachers(0, 3, np.random.default_rng(0), 0.25)) == 1
    assert len(choose_teachers(0, 9, np.random.default_rng(0), 0.25)) == 2
    assert len(choose_teachers(0, 18, np.random.default_rng(0), 0.25)) == 4


def test_the_only_member_teaches_itself_instead_of_failing() -> None:
    assert choose_teachers(0, 1, np.random.default_rng(0), 0.25) == [0]


def test_a_member_that_was_not_there_before_is_taught_by_any() -> None:
    chosen = {choose_teachers(None, 2, np.random.default_rng(seed), 0.25)[0] for seed in range(20)}
    assert chosen == {0, 1}


def test_drawn_rows_carry_their_best_label_and_never_repeat() -> None:
    drawn = draw_rows(SAID, np.array([2, 2]), np.random.default_rng(0), trainable=EVERY)
    assert len(set(drawn.rows.tolist())) == 4
    assert (SAID[drawn.rows].argmax(axis=1) == drawn.labels).all()
    assert drawn.missing.tolist() == [0, 0]


def test_a_quota_larger_than_the_pool_takes_all_and_says_how_many_are_missing() -> None:
    drawn = draw_rows(SAID, np.array([5, 1]), np.random.default_rng(0), trainable=EVERY)
    assert sorted(drawn.rows[drawn.labels == 0].tolist()) == [0, 1, 2]
    assert drawn.missing.tolist() == [2, 0]


def test_a_label_that_nobody_predicts_is_missing_and_does_not_hang() -> None:
    said = np.tile([0.9, 0.1], (6, 1))
    drawn = draw_rows(said, np.array([1, 3]), np.random.default_rng(0), trainable=EVERY)
    assert drawn.labels.tolist() == [0]
    assert drawn.missing.tolist() == [0, 3]


def test_nothing_to_draw_is_an_empty_draw() -> None:
    nobody = np.zeros(6, dtype=bool)
    drawn = draw_rows(SAID, np.array([2, 2]), np.random.default_rng(0), trainable=nobody)
    assert len(drawn.rows) == 0
    assert drawn.missing.tolist() == [2, 2]


def test_rows_of_the_labeled_set_are_never_drawn() -> None:
    trainable = np.array([False, True, True, False, True, True])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn = draw_rows(SAID, np.array([2, 2]), rng, trainable=trainable)
        assert trainable[drawn.rows].all()


def test_rows_are_drawn_in_proportion_to_confidence() -> None:
    said = np.array([[0.9, 0.1], [0.6, 0.4]])
    first = [
        draw_rows(said, np.array([1, 0]), np.random.default_rng(seed), trainable=EVERY[:2]).rows[0]
        for seed in range(3000)
    ]
    # 0.9 / (0.9 + 0.6)
    assert np.mean(np.array(first) == 0) == pytest.approx(0.6, abs=0.03)


def test_a_start_without_labels_draws_the_likeliest_rows_of_every_label() -> None:
    said = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    drawn = draw_rows(
        said, np.array([1, 1]), np.random.default_rng(0), trainable=EVERY[:4], most_likely=1
    )
    assert drawn.rows.tolist() == [0, 3]
    assert drawn.labels.tolist() == [0, 1]


def test_agreement_is_the_share_of_members_that_say_what_the_ensemble_says() -> None:
    logits = np.array([[[2.0, 0], [0, 2]], [[2, 0], [2, 0]]])
    growth = measure_growth(logits, np.array([[4.0, 0], [1, 2]]))
    assert growth.agreement == 0.75
    assert growth.shares == (0.5, 0.5)


EVEN = (0.5, 0.5)


def test_a_generation_whose_members_fall_out_is_harm() -> None:
    assert "agree on 80% instead of 90%" in degradation(Growth(0.9, EVEN), Growth(0.8, EVEN), EVEN)
    assert not degradation(Growth(0.8, EVEN), Growth(0.9, EVEN), EVEN)
    assert not degradation(Growth(0.9, EVEN), Growth(0.87, EVEN), EVEN)  # noise


def test_a_label_that_is_forgotten_is_harm_whatever_the_members_agree_on() -> None:
    ratio = (0.9, 0.1)
    found = degradation(Growth(0.8, (0.9, 0.1)), Growth(0.95, (0.995, 0.005)), ratio)
    assert "a label is on 0.5% of the pool instead of 10.0%" in found


def test_where_teachers_say_one_label_alone_nothing_is_held_against_a_learner() -> None:
    """Agreement is all chance there: a learner that said the same of every row had kept nothing."""
    said = np.tile([0.95, 0.05], (100, 1))
    said[:4] = [0.4, 0.6]
    assert retention(said, said.argmax(axis=1)) is None
    said[:10] = [0.4, 0.6]
    assert retention(said, said.argmax(axis=1)) == pytest.approx(1)


def test_a_start_from_few_rows_gives_every_label_its_share_of_them() -> None:
    """The first labels took all rows, and those that came last had none."""
    said = np.random.default_rng(0).dirichlet(np.ones(4), 20)
    rng = np.random.default_rng(0)
    drawn = draw_rows(said, np.full(4, 10), rng, trainable=np.ones(20, bool), most_likely=100)
    assert np.bincount(drawn.labels, minlength=4).tolist() == [5, 5, 5, 5]
    assert drawn.missing.tolist() == [5, 5, 5, 5]


def test_a_learner_that_says_what_chance_says_has_kept_nothing() -> None:
    said = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    own = said.argmax(axis=1)
    assert retention(said, own) == pytest.approx(1)
    assert retention(said, np.zeros(4, np.int64)) == pytest.approx(0)
    # By hand: (0.9 + 0.8 + 0.8 + 0.1) / 4 = 0.65; chance is 3/4 x 0.5 + 1/4 x 0.5; best is 0.85.
    assert retention(said, np.array([0, 0, 1, 0])) == pytest.approx((0.65 - 0.5) / 0.35)
    assert retention(said, 1 - own) < 0


def test_label_shares_that_run_away_from_what_is_drawn_are_harm() -> None:
    """On texts that the model cannot tell apart, self-training picks one label for most."""
    start, lopsided = Growth(0.9, (0.51, 0.49)), Growth(0.95, (0.69, 0.31))
    assert "19% away from the ratio that is drawn, not 1%" in degradation(start, lopsided, EVEN)
    assert not degradation(lopsided, start, EVEN), "a step towards it is none"
    assert not degradation(start, lopsided, (0.7, 0.3)), "nor is one that the labeled set bears out"


def test_members_that_were_trained_apart_are_not_held_against_one_model() -> None:
    """The first step of a start without labels would else nearly always count as harm."""
    before, now = Growth(0.95, EVEN), Growth(0.8, EVEN)
    assert degradation(before, now, EVEN)
    assert not degradation(before, now, EVEN, untrained_before=True)
