"""Exact tests of how many labels are wrong, from drawn rows. Numpy in, numpy out.

No assumption is made on the model: all probability is that of the draw. Rows are ordered from the
surest down; a *level* k means the first `rows[k]` of them, which are those at or above a threshold
of confidence. Whether a level has too many wrong labels is tested by the drawn rows in it; levels
are tested one after another, in an order that was fixed before the answers, until the first that
is not rejected (fixed-sequence testing; Angelopoulos et al. 2021, "Learn then Test", 2110.01052,
section 3.2). The chance that any level is certified wrongly is then at most alpha.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Guarantee = Literal["kept", "whole"]

Counts = NDArray[np.int64]

SPLITS = 2000  # of wrong rows between two strata, up to which each is looked at by itself

DIRECTIONS = 48  # splits that order the outcomes: the order decides on power alone

FIRST_SHARE = 0.8  # of alpha, for a first draw; each further one has a fifth of the one before


@dataclass(frozen=True)
class Stratum:
    """Rows that were drawn from alike: `drawn` of `rows`, without replacement, `wrong` of them."""

    rows: int
    drawn: int
    wrong: int


def alpha_share(alpha: float, draw: int) -> float:
    """Return what the draw of this number, from 1, may spend: the shares sum up to alpha."""
    return alpha * FIRST_SHARE * (1 - FIRST_SHARE) ** (draw - 1)


def wrong_allowed(rows: Counts, pool_rows: int, error: float, guarantee: Guarantee) -> Counts:
    """Return how many of the labels at each level may be wrong.

    `kept`: a share `error` of those labels. `whole`: a share `error` of the pool, as the rows
    below the level are read by people. [levels]
    """
    of = np.asarray(rows) if guarantee == "kept" else np.full(len(rows), pool_rows)
    return np.floor(of * error * (1 + 1e-12)).astype(np.int64)


def fewest_draws(error: float, alpha: float) -> int:
    """Return how many drawn rows, all of them right, show that at most `error` are wrong.

    From a large stratum: the least n with (1 - error)^n <= alpha.
    """
    return math.ceil(math.log(alpha) / math.log1p(-error))


def p_value(strata: Sequence[Stratum], least: int) -> float:
    """Return the exact p-value of "at least `least` rows of one or two strata are wrong".

    One stratum: P(X <= x) of the hypergeometric distribution with `least` wrong rows. Two: the
    outcomes (x, y) are ordered by the likelihood ratio, in Kullback-Leibler divergences

        min over d of  n_1 KL(x / n_1, d / N_1) + n_2 KL(y / n_2, (least - d) / N_2),

    and the p-value is the chance of an outcome at least as far from the hypothesis, for the
    worst split d of the wrong rows between the strata. Outcomes that are lower in both counts are
    taken to be as far, so that more wrong rows only make that chance smaller.
    """
    strata = [own for own in strata if own.rows]
    if least > sum(own.rows for own in strata):
        return 0.0
    if least <= 0 or any(not own.drawn for own in strata):
        return 1.0
    if len(strata) == 1:
        return _p_of_one(strata[0], least)
    first, second = strata
    return _p_of_two(first, second, least)


@functools.lru_cache(100_000)
def _p_of_one(own: Stratum, least: int) -> float:
    chances = _hypergeometric(own.rows, np.array([least]), own.drawn, own.wrong)
    return min(1.0, float(chances.sum()))


@functools.lru_cache(100_000)
def _p_of_two(first: Stratum, second: Stratum, least: int) -> float:
    weights = first.rows / first.drawn, second.rows / second.drawn
    if weights[0] * first.wrong + weights[1] * second.wrong >= least:
        return 1.0
    most = [min(own.drawn, int(least / w)) for own, w in zip((first, second), weights, strict=True)]
    x, y = np.arange(most[0] + 1), np.arange(most[1] + 1)
    low, high = max(0, least - second.rows), min(first.rows, least)
    distance = np.full((len(x), len(y)), np.inf)
    for d in np.linspace(low, high, DIRECTIONS):
        of_first = first.drawn * divergence(x / first.drawn, d / first.rows)
        of_second = second.drawn * divergence(y / second.drawn, (least - d) / second.rows)
        np.minimum(distance, of_first[:, None] + of_second, out=distance)
    distance[weights[0] * x[:, None] + weights[1] * y >= least] = -1
    for axis in (0, 1):  # lower counts are at least as far
        distance = np.flip(np.maximum.accumulate(np.flip(distance, axis), axis), axis)
    far = (distance >= distance[first.wrong, second.wrong] - 1e-9).sum(axis=1)
    x = x[far > 0]
    edges = np.arange(low, high + 1)
    if len(edges) > SPLITS:  # in steps, with the fewest wrong rows of each
        edges = np.unique(np.linspace(low, high, SPLITS).astype(np.int64))
    others = least - np.append(edges[1:], high) if len(edges) == SPLITS else least - edges
    of_first = _hypergeometric(first.rows, edges, first.drawn, most[0])[:, x]
    of_second = _hypergeometric(second.rows, np.maximum(others, 0), second.drawn, most[1])
    below = np.cumsum(of_second, axis=1)[:, far[far > 0] - 1]
    return min(1.0, float((of_first * below).sum(axis=1).max()))


def divergence(p: NDArray[np.floating], q: NDArray[np.floating] | float) -> NDArray[np.floating]:
    """Return the Kullback-Leibler divergence of coins, p from q, in nats, element by element."""
    from scipy.special import rel_entr

    return rel_entr(p, q) + rel_entr(1 - np.asarray(p), 1 - np.asarray(q))


def _hypergeometric(rows: int, wrong: Counts, drawn: int, most: int) -> NDArray[np.floating]:
    """Return the chance of 0 to `most` wrong ones among the drawn rows. [len(wrong), most + 1]"""
    from scipy.special import gammaln

    def choose(n: NDArray[np.floating], k: NDArray[np.floating]) -> NDArray[np.floating]:
        return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)

    d, x = np.asarray(wrong, float)[:, None], np.arange(most + 1, dtype=float)
    possible = (x <= d) & (x <= drawn) & (drawn - x <= rows - d)
    x = np.where(possible, x, np.clip(np.maximum(drawn - (rows - d), 0), 0, np.minimum(d, drawn)))
    total = choose(np.array(float(rows)), np.array(float(drawn)))
    return np.where(possible, np.exp(choose(d, x) + choose(rows - d, drawn - x) - total), 0.0)


@dataclass(frozen=True)
class Draw:
    """Drawn rows in the order of the pool's levels, with the answers to them.

    Attributes:
        levels: of each drawn row, the first level that it is in. [drawn]
        wrong: whether its label is wrong; an unanswered row counts as wrong. [drawn]
    """

    levels: Counts
    wrong: NDArray[np.bool_]


def stratum_p_value(draw: Draw, rows: Counts, allowed: Counts, border: int, level: int) -> float:
    """Return the p-value of "more wrong labels than allowed at this level".

    Args:
        draw: uniform among the levels up to `border`, and among those below it.
        rows: that can be drawn, up to each level. [levels]
        allowed: wrong ones among them. [levels]
        border: the last level of the first stratum; -1 if there is one stratum.
    """
    strata = []
    for low, high in ((-1, min(border, level)), (border, level)):
        if high > low:
            inside = (draw.levels > low) & (draw.levels <= high)
            size = int(rows[high]) - (int(rows[low]) if low >= 0 else 0)
            strata.append(Stratum(size, int(inside.sum()), int(draw.wrong[inside].sum())))
    return p_value(strata, int(allowed[level]) + 1)


def fixed_sequence(
    draw: Draw,
    rows: Counts,
    allowed: Counts,
    border: int,
    sequence: Sequence[int],
    alpha: float,
) -> tuple[int | None, list[float]]:
    """Test levels in their order until the first that is not certified.

    Returns:
        the last level that is certified, None if there is none, and the p-values up to the end.
    """
    certified, found = None, list[float]()
    for level in sequence:
        found.append(stratum_p_value(draw, rows, allowed, border, level))
        if found[-1] > alpha:
            break
        certified = level
    return certified, found


def rows_needed(seen: float, error: float, alpha: float) -> int | None:
    """Return about how many drawn rows show "at most `error` are wrong" four times in five.

    n KL(seen, error) = (z_alpha + z_0.2)^2 / 2, z the upper quantiles of the normal distribution.

    Args:
        seen: the share of wrong rows that is expected.

    Returns:
        None where no number of rows would.
    """
    from scipy.special import ndtri

    if seen >= error:
        return None
    nats = float(divergence(np.array(seen), error))
    return math.ceil((ndtri(1 - alpha) + ndtri(0.8)) ** 2 / 2 / nats)
