"""Drift: statistics by hand, thresholds that chance does not reach, sketches that add up."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from pet.method.drift import (
    LabelSketch,
    Sketch,
    TextSketch,
    Thresholds,
    drifted,
    find_drift,
    jensen_shannon,
    kolmogorov_smirnov,
    population_stability_index,
    sketch_labels,
    sketch_texts,
)

THRESHOLDS = Thresholds(labels=0.2, confidence=0.15, words=0.05, lengths=0.2)
WORDS = [f"word{n}" for n in range(200)]


def counts(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def texts_of(rng: np.random.Generator, rows: int, words: list[str] = WORDS) -> list[str]:
    return [" ".join(rng.choice(words, size=rng.integers(5, 15))) for _ in range(rows)]


def sketch_of(
    rng: np.random.Generator, rows: int, words: list[str] = WORDS, shares: tuple = (0.5, 0.5)
) -> Sketch:
    labels = rng.choice(2, size=rows, p=shares)
    said = sketch_labels(labels, rng.beta(5, 2, size=rows), 2)
    return Sketch(sketch_texts(texts_of(rng, rows, words)), said)


def test_statistics_are_those_of_the_textbook() -> None:
    half, skewed = counts(500, 500), counts(900, 100)
    by_hand = (0.9 - 0.5) * np.log(0.9 / 0.5) + (0.1 - 0.5) * np.log(0.1 / 0.5)
    assert population_stability_index(half, skewed) == pytest.approx(by_hand, rel=0.01)
    assert jensen_shannon(counts(1, 0), counts(0, 5)) == pytest.approx(1.0)
    assert jensen_shannon(half, half * 7) == pytest.approx(0.0)
    assert kolmogorov_smirnov(counts(1, 1, 0, 0), counts(0, 0, 3, 1)) == pytest.approx(1.0)
    assert kolmogorov_smirnov(half, skewed) == pytest.approx(0.4)


def test_what_chance_gives_is_the_chi_squared_quantile() -> None:
    reference = Sketch(sketch_texts([]), LabelSketch(counts(*[1000] * 5), counts(*[0] * 50)))
    tests = find_drift(reference, reference, Thresholds(1e-9, 1, 1, 1))
    assert tests[0].threshold == pytest.approx(18.467 * (1 / 5000 + 1 / 5000), rel=0.02)


def test_an_empty_cell_is_no_infinite_shift() -> None:
    assert np.isfinite(population_stability_index(counts(10, 0), counts(0, 10)))


@pytest.mark.parametrize("rows", [30, 100, 1000])
def test_chance_alone_is_no_drift_however_few_the_rows(rows: int) -> None:
    """With thresholds of effect size alone, every small night would renew the model."""
    rng = np.random.default_rng(rows)
    reference = sketch_of(rng, 3000)
    false_alarms = sum(
        bool(drifted(find_drift(reference, sketch_of(rng, rows), THRESHOLDS))) for _ in range(30)
    )
    assert false_alarms == 0


def test_each_kind_of_drift_is_found_by_its_own_test() -> None:
    rng = np.random.default_rng(0)
    reference, now = sketch_of(rng, 3000), sketch_of(rng, 500)
    said = sketch_labels(rng.choice(2, size=500, p=(0.85, 0.15)), rng.beta(5, 2, size=500), 2)
    unsure = LabelSketch(
        now.predicted.labels,
        sketch_labels(np.zeros(500, int), rng.beta(2, 2, size=500), 2).confidence,
    )
    other = sketch_texts(texts_of(rng, 500, [f"other{n}" for n in range(200)]))
    pairs = zip(texts_of(rng, 500), texts_of(rng, 500), strict=True)
    longer = sketch_texts(" ".join(pair) for pair in pairs)
    cases = {
        "label shares": Sketch(now.texts, said),
        "confidence": Sketch(now.texts, unsure),
        "words": Sketch(TextSketch(now.texts.lengths, other.words), now.predicted),
        "length": Sketch(TextSketch(longer.lengths, now.texts.words), now.predicted),
    }
    for what, changed in cases.items():
        assert drifted(find_drift(reference, changed, THRESHOLDS)) == [what]


def test_sketches_add_up_and_survive_json() -> None:
    rng = np.random.default_rng(1)
    first, second = sketch_of(rng, 20), sketch_of(rng, 30)
    total = first + second
    assert total.rows == 50
    again = Sketch.from_json(json.loads(json.dumps(total.as_json())))
    assert again.as_json() == total.as_json()


@pytest.mark.parametrize("damage", [{}, {"lengths": [1, 2]}, {"words": "x"}, {"labels": [-1]}])
def test_a_damaged_sketch_is_no_sketch(damage: dict) -> None:
    """Counts of another length would be compared bin by bin with bins of another meaning."""
    record = sketch_of(np.random.default_rng(2), 5).as_json()
    broken = {**record, **damage} if damage else {}
    with pytest.raises((ValueError, TypeError)):
        Sketch.from_json(broken)


def test_a_script_without_spaces_has_words_too() -> None:
    """A sentence as one word would differ from every other one: drift every night."""
    assert sketch_texts(["今日は天気がいい"]).words.sum() > 3
    assert sketch_texts(["the game, The GAME"]).words.sum() == 2


def sets_of(rng: np.random.Generator, rows: int, chances: Sequence[float]) -> Sketch:
    said = sketch_labels(rng.random((rows, len(chances))) < chances, rng.beta(5, 2, rows), 3)
    return Sketch(sketch_texts(texts_of(rng, rows)), said)


def test_of_several_labels_each_share_is_one_of_all_rows() -> None:
    """As shares of all labels that were given, ten times as many of each were no drift."""
    rng = np.random.default_rng(3)
    reference, now = sets_of(rng, 3000, (0.05, 0.02, 0.1)), sets_of(rng, 500, (0.4, 0.2, 0.8))
    assert now.rows == 500
    assert "label shares" in drifted(find_drift(reference, now, THRESHOLDS))
    one_of_three = sets_of(rng, 500, (0.05, 0.2, 0.1))
    assert "label shares" in drifted(find_drift(reference, one_of_three, THRESHOLDS))
    again = Sketch.from_json(json.loads(json.dumps(now.as_json())))
    assert again.predicted.several
    assert again.as_json() == now.as_json()


def test_of_many_labels_chance_alone_is_no_drift() -> None:
    rng = np.random.default_rng(4)
    chances = rng.uniform(0.02, 0.6, 3)
    reference = sets_of(rng, 3000, chances)
    alarms = [find_drift(reference, sets_of(rng, 60, chances), THRESHOLDS) for _ in range(30)]
    assert not any("label shares" in drifted(tests) for tests in alarms)
