"""Bets against an error rate, which may be looked at after every answer. Numpy in, numpy out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BETS = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.75])  # of the most that can be staked


def capital(wrong: NDArray[np.bool_], error: float) -> NDArray[np.float64]:
    """Return what a gambler has after each answer who bets that more than `error` are wrong.

    K_t = mean over the bets b of prod over i <= t of (1 + b (L_i - error) / error), L_i = 1 where
    the i-th row is wrong. Each row is drawn uniformly from rows of which at most `error` are
    wrong, whatever came before: then K is a supermartingale that starts at 1, and by Ville's
    inequality ever reaches 1 / alpha with a chance of at most alpha (Waudby-Smith and Ramdas
    2024, 2010.09686).

    Args:
        wrong: [answers], in the order of drawing
        error: over 0.

    Returns:
        [answers]
    """
    gains = (np.asarray(wrong, float)[:, None] - error) / error
    with np.errstate(over="ignore"):
        return np.exp(np.minimum(np.cumsum(np.log1p(BETS * gains), axis=0), 700.0)).mean(axis=1)
