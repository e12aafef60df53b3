"""Intervals of shares: right about the model's errors, and shorter for its predictions."""

from __future__ import annotations

import numpy as np
import pytest

from pet.method.share_intervals import clopper_pearson, estimate_shares


def test_clopper_and_pearson_by_hand() -> None:
    low, high = clopper_pearson(np.array([0.0, 1.0, 0.1]), np.array([10.0, 10.0, 10.0]), 0.95)
    np.testing.assert_allclose(high[0], 1 - 0.025 ** (1 / 10))
    np.testing.assert_allclose(low[1], 0.025 ** (1 / 10))
    np.testing.assert_allclose([low[2], high[2]], [0.002529, 0.445016], atol=1e-5)


def test_a_model_without_knowledge_costs_nothing() -> None:
    labels = np.eye(2)[np.arange(100) % 2]
    flat = np.full((100, 2), 0.5)
    found = estimate_shares(labels, flat, np.array([0.5, 0.5]), 10_000, 0.95)
    np.testing.assert_allclose(found.estimate, 0.5)


@pytest.mark.parametrize("bias", [0.0, 0.25])
def test_intervals_cover_though_the_model_is_biased_and_are_shorter_than_without_it(
    bias: float,
) -> None:
    """The naive count of a biased model is wrong however large the pool is."""
    rng = np.random.default_rng(0)
    truth = rng.random(4000) < 0.3
    score = np.clip(np.where(truth, 0.85, 0.15) + rng.normal(0, 0.15, 4000) + bias, 0, 1)
    claims, labels = np.stack([score, 1 - score], 1), np.stack([truth, ~truth], 1).astype(float)
    covered, width, alone = 0, 0.0, 0.0
    for _ in range(200):
        drawn = rng.choice(4000, 150, replace=False)
        found = estimate_shares(labels[drawn], claims[drawn], claims.mean(0), 4000, 0.95)
        covered += found.low[0] <= truth.mean() <= found.high[0]
        width += found.high[0] - found.low[0]
        low, high = clopper_pearson(labels[drawn].mean(0), np.full(2, 150 / (1 - 150 / 4000)), 0.95)
        alone += high[0] - low[0]
    assert covered >= 200 * 0.95 - 3 * np.sqrt(200 * 0.95 * 0.05)
    assert width < 0.75 * alone
