"""Labels in doubt: by hand, after equation 2 of the confident-learning paper."""

from __future__ import annotations

import numpy as np

from pet.method.data_quality import suspects

GIVEN = np.array([0, 0, 0, 1, 1])
SAID = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.45, 0.55]])
# Thresholds: (0.9 + 0.8 + 0.1) / 3 = 0.6 for one label, (0.7 + 0.55) / 2 = 0.625 for the other.


def test_a_row_surer_of_another_label_than_its_own_rows_are_is_a_suspect() -> None:
    assert suspects(SAID, GIVEN).tolist() == [2]


def test_a_row_that_no_label_is_sure_of_is_none() -> None:
    said = np.vstack([SAID, [[0.52, 0.48]]])
    assert 5 not in suspects(said, np.append(GIVEN, 1))


def test_the_worst_comes_first() -> None:
    said = np.vstack([SAID, [[0.99, 0.01]]])
    found = suspects(said, np.append(GIVEN, 1))
    assert found.tolist() == [5, 2]


def test_a_label_without_rows_makes_no_suspects() -> None:
    said = np.array([[0.1, 0.1, 0.8], [0.05, 0.2, 0.75]])
    assert suspects(said, np.array([0, 1])).tolist() == []


def test_no_rows_are_no_error() -> None:
    assert suspects(np.zeros((0, 3)), np.zeros(0, np.int64)).tolist() == []
