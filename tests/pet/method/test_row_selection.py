"""Which rows are chosen: evenly over labels, one of each kind, the same ones every time."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.row_selection import (
    Candidates,
    Sample,
    choose,
    doubts,
    margins,
    quotas,
    text_vectors,
)


def candidates(predicted: list[int], labels: int = 3, confidence: float = 0.8) -> Candidates:
    said = np.full((len(predicted), labels), (1 - confidence) / (labels - 1))
    said[np.arange(len(predicted)), predicted] = confidence
    return Candidates([f"r{n}" for n in range(len(predicted))], said, np.ones(len(predicted)))


def kinds(counts: list[int], spread: float = 0.05) -> np.ndarray:
    """Texts of so many kinds: each kind points its own way, its texts nearly so."""
    rng = np.random.default_rng(0)
    rows = []
    for kind, count in enumerate(counts):
        rows.append(np.eye(len(counts))[kind] + spread * rng.standard_normal((count, len(counts))))
    vectors = np.concatenate(rows)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("available", "rows", "given"),
    [
        ([10, 10, 10], 6, [2, 2, 2]),
        ([10, 10, 10], 7, [3, 2, 2]),
        ([1, 10, 10], 9, [1, 4, 4]),
        ([0, 1, 2], 9, [0, 1, 2]),
        ([5, 5], 0, [0, 0]),
    ],
)
def test_a_small_label_gives_its_share_away_instead_of_losing_it(
    available: list[int], rows: int, given: list[int]
) -> None:
    assert quotas(np.array(available), rows).tolist() == given


def test_a_large_label_does_not_take_every_place() -> None:
    pool = candidates([0] * 90 + [1] * 9 + [2] * 6)
    chosen = choose(pool, kinds([1] * 105, 0.0), 9, seed=1)
    assert np.bincount(pool.predicted[[c.row for c in chosen]]).tolist() == [3, 3, 3]


def test_rows_that_say_the_same_are_not_all_asked() -> None:
    counts = [30, 5, 3, 2]
    chosen = choose(candidates([0] * 40, labels=2), kinds(counts), 4, seed=1)
    kind_of = np.repeat(np.arange(4), counts)
    assert sorted(kind_of[[c.row for c in chosen]]) == [0, 1, 2, 3]
    assert [c.stands_for for c in chosen] == counts  # the largest group first


def test_a_text_under_two_labels_is_asked_once() -> None:
    twins = np.tile([1.0, 0.0], (2, 1))
    chosen = choose(candidates([0, 1]), twins, 2, seed=1)
    assert len(chosen) == 1


def test_fewer_rows_than_wanted_are_no_error() -> None:
    assert len(choose(candidates([0, 1, 1]), np.eye(3), 50, seed=1)) == 3


def test_by_doubt_the_doubtful_rows_are_chosen_and_by_coverage_not() -> None:
    rows = [0] * 40
    sure, torn = candidates(rows, 2, 0.95), candidates(rows, 2, 0.55)
    pool = sure.join(torn)
    for by, doubtful in (("doubt", 8), ("coverage", 0)):
        vectors = np.concatenate([kinds([8] * 5, 0.01), kinds([8] * 5, 0.6)])
        chosen = choose(pool, vectors, 8, seed=1, by=by)
        assert sum(choice.row >= 40 for choice in chosen) >= doubtful, by
        assert by == "doubt" or any(choice.row < 40 for choice in chosen)


def test_doubt_is_the_mean_of_uncertainty_and_disagreement() -> None:
    said = np.array([[0.6, 0.4], [0.9, 0.1], [1.0, 0.0]])
    np.testing.assert_allclose(margins(said), [0.2, 0.8, 1.0])
    rows = Candidates(["a", "b", "c"], said, np.array([0.5, 1.0, 1.0]))
    np.testing.assert_allclose(doubts(rows), [(0.8 + 0.5) / 2, 0.1, 0.0])


def test_a_row_is_not_in_doubt_for_not_having_been_asked_about() -> None:
    said = np.tile([0.6, 0.4], (5, 1))
    rows = Candidates(list("abcde"), said, np.array([0.9, 0.7, 0.8, np.nan, np.nan]))
    found = doubts(rows)
    assert found[3] == found[4] == pytest.approx(found[:3].mean())
    unasked = Candidates(list("abcde"), said, np.full(5, np.nan))
    np.testing.assert_allclose(doubts(unasked), 0.8)


def test_the_same_seed_chooses_the_same_rows_and_another_seed_others() -> None:
    pool, vectors = candidates([0, 1] * 100), kinds([20] * 10, 0.3)
    first = choose(pool, vectors, 20, seed=1)
    assert choose(pool, vectors, 20, seed=1) == first
    assert choose(pool, vectors, 20, seed=2) != first


def test_labels_come_in_turn_so_that_a_person_who_stops_early_has_seen_all() -> None:
    pool = candidates([0] * 10 + [1] * 10 + [2] * 10)
    chosen = choose(pool, np.eye(30), 9, seed=1)
    assert pool.predicted[[c.row for c in chosen[:3]]].tolist() == [0, 1, 2]


def test_a_sample_of_a_stream_stays_small_and_keeps_the_rare_label_whole() -> None:
    sample = Sample(labels=3, per_label=50, seed=1)
    for _ in range(20):
        sample.offer(candidates([0] * 99 + [1]))
    assert np.bincount(sample.kept.predicted).tolist() == [50, 20]


def test_a_sample_does_not_depend_on_how_the_stream_is_cut() -> None:
    whole, cut = (Sample(labels=3, per_label=5, seed=1) for _ in range(2))
    rows = candidates([0, 1, 2] * 40)
    whole.offer(rows)
    for start in range(0, 120, 7):
        cut.offer(rows.take(np.arange(start, min(start + 7, 120))))
    assert cut.kept.ids == whole.kept.ids


def test_a_sample_does_not_prefer_the_start_of_the_pool() -> None:
    sample = Sample(labels=3, per_label=500, seed=1)
    sample.offer(candidates([0] * 2000))
    places = np.array([int(id[1:]) for id in sample.kept.ids])
    assert abs(places.mean() - 1000) < 100


LONG = " ".join(f"word{n}" for n in range(150))


def test_texts_of_one_subject_lie_closer_than_others() -> None:
    texts = [
        "rocket to the moon",
        "moon rocket",
        "bank of money",
        "money in a bank",
        "game of a team",
        "team game",
    ]
    vectors = text_vectors(texts, seed=1)
    near = vectors @ vectors.T
    for first in (0, 2, 4):
        assert near[first].argsort()[-2] == first + 1


@pytest.mark.parametrize(
    "texts",
    [
        ["one"],
        ["same", "same"],
        ["...", "!!!"],
        ["", "a"],
        ["日本語", "中文"],
        ["a b"] * 150,
        [LONG] * 150,
    ],
)
def test_odd_texts_still_get_vectors_of_length_one(texts: list[str]) -> None:
    vectors = text_vectors(texts, seed=1)
    assert len(vectors) == len(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)


def test_the_same_texts_give_the_same_vectors() -> None:
    texts = [f"word{n % 7} word{n % 5} and {n}" for n in range(200)]
    first = text_vectors(texts, seed=1)
    assert first.shape == (200, 100)
    np.testing.assert_array_equal(text_vectors(texts, seed=1), first)


def test_of_several_labels_the_rarest_gets_its_rows_and_the_least_sure_answer_is_in_doubt() -> None:
    chances = np.array([[0.9, 0.8], [0.9, 0.1], [0.1, 0.1], [0.9, 0.45]])
    sets, counts = chances >= 0.4, np.array([3, 2])
    candidates = Candidates(list("abcd"), chances, np.full(4, np.nan), sets, counts)
    assert candidates.predicted.tolist() == [1, 0, 2, 1]
    assert candidates.margins == pytest.approx([0.6, 0.8, 0.8, 0])
    sample = Sample(2, 1, 0, counts)
    sample.offer(Candidates(list("abcd"), chances, np.full(4, np.nan), sets))
    assert sorted(sample.kept.predicted.tolist()) == [0, 1, 2]
    vectors = np.eye(4)
    assert {own.row for own in choose(candidates, vectors, 3, 0)} in ({0, 1, 2}, {1, 2, 3})
