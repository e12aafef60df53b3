"""A long text as overlapping windows, evenly spaced, each as long as a model reads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A text's windows at the most: a row takes up to so many times the time and the memory. Of a text
# that is longer than all of them the first and the last tokens are read, half each.
MOST = 8

OVERLAP = 1 / 4  # of a window at least, so that what one cuts in two, another has whole


def count_windows(lengths: NDArray[np.int64], kept: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many windows each row takes: as many as the field that needs most of them. [rows]

    Args:
        lengths: tokens of each field. [rows, fields]
        kept: how many of them a window reads. [rows, fields]
    """
    step = np.maximum(1, np.floor(kept * (1 - OVERLAP)))
    return np.minimum(1 + np.ceil((lengths - kept) / step), MOST).max(axis=1).astype(np.int64)


def window_starts(length: int, kept: int, count: int) -> NDArray[np.int64]:
    """Return where a field's windows begin: the first at its start, the last up to its end.

    A field that fits whole stands in every window of its row.
    """
    return np.round(np.linspace(0, length - kept, count)).astype(np.int64)
