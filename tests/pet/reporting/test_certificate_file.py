"""A threshold as it is shown: whoever keeps labels by it keeps none that is not certified."""

from __future__ import annotations

import pytest

from pet.reporting.certificate_file import least_confidence


@pytest.mark.parametrize(
    ("threshold", "shown"),
    [
        (0.874931, "0.875"),
        (0.5, "0.5"),
        (0.87490001, "0.875"),
        (0.99997, "0.99997"),
        (0.9999991, "0.9999991"),
        (1.0, "1"),
    ],
)
def test_a_threshold_is_rounded_up_and_stays_below_one(threshold: float, shown: str) -> None:
    assert least_confidence(threshold) == shown
    assert float(shown) >= threshold
