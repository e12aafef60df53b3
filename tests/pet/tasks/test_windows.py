"""Windows of a long text: none of it is left out, and what one cuts in two another has whole."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.tasks.windows import MOST, OVERLAP, count_windows, window_starts


def windows_of(length: int, kept: int) -> tuple[int, list[int]]:
    count = int(count_windows(np.array([[length]]), np.array([[kept]]))[0])
    return count, window_starts(length, kept, count).tolist()


@given(kept=st.integers(1, 200), more=st.integers(0, 2000))
def test_windows_cover_a_text_and_overlap(kept: int, more: int) -> None:
    length = min(kept + more, kept * MOST)  # what is longer is cut to it first
    count, starts = windows_of(length, kept)
    assert 1 <= count <= MOST
    assert (count == 1) == (more == 0)
    assert starts[0] == 0
    assert starts[-1] == length - kept
    gaps = [after - before for before, after in pairwise(starts)]
    assert all(0 < gap <= kept for gap in gaps)
    if count < MOST:
        assert all(gap <= np.ceil(kept * (1 - OVERLAP)) for gap in gaps)


@pytest.mark.parametrize("length", [0, 1, 7, 8])
def test_a_text_that_fits_is_one_window(length: int) -> None:
    assert windows_of(length, min(length, 8)) == (1, [0])


def test_a_row_has_as_many_windows_as_its_longest_field_needs() -> None:
    """A title stands in every window of its text."""
    lengths, kept = np.array([[3, 40], [3, 5]]), np.array([[3, 10], [3, 5]])
    assert count_windows(lengths, kept).tolist() == [6, 1]
    assert window_starts(3, 3, 6).tolist() == [0] * 6
