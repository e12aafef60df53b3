"""Which rows to draw for a certificate: how far down, and how densely. Numpy in, numpy out.

A plan decides on power alone: whatever it takes the errors to be, the test of what is drawn
(`certification`) is exact. It is made before the answers that are tested.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pet.method.certification import Counts, divergence

Array = NDArray[np.floating]

STEPS = 20  # levels that are tested, at most
SPLITS = 24  # of wrong rows between two strata that the evidence is taken over
LASTS = 20  # ends of the frame that are considered, evenly spaced by rows
BORDERS = (0.3, 0.45, 0.6, 0.75)  # the first stratum's share of the frame
THINNED = (0.3, 0.4, 0.5, 0.6)  # the first stratum's share of the draws
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the offset and of the slope: 25 curves in all
PRIOR = (1.5, 0.8)  # deviations of the offset and of the slope from the model's own claims
LEFT = (0.5, 0.25)  # those that answers leave at least: errors follow no curve exactly


@dataclass(frozen=True)
class Plan:
    """A frame to draw from, and the levels to test.

    Attributes:
        border: the last level of the first stratum, which is drawn from more thinly; -1 for none.
        last: the last level of the frame.
        draws: rows to draw from the first stratum, and from the second.
        sequence: the levels to test, in order.
    """

    border: int
    last: int
    draws: tuple[int, int]
    sequence: tuple[int, ...]


def error_curves(claims: Array, known: Array, wrong: NDArray[np.bool_]) -> Array:
    """Return what the errors may be, given a model's claims and some answers.

    log odds of an error = a + b * (claimed log odds), with a ~ N(0, 1.5^2), b ~ N(1, 0.8^2) before
    the answers (Platt scaling with a prior) and by Laplace's approximation after them, whose
    variances are enlarged by those of `LEFT`.

    Args:
        claims: 1 - confidence. [n]
        known: the same of rows whose true label is known; there may be none. [m]
        wrong: whether the predicted label of these is wrong. [m]

    Returns:
        Chances of an error. [curves, n]
    """
    from scipy.optimize import minimize
    from scipy.special import ndtri

    odds, prior = _log_odds(known), np.array(PRIOR)
    design = np.stack([np.ones_like(odds), odds])

    def loss(fit: Array) -> float:
        u = fit @ design
        return float(
            np.sum(np.logaddexp(0, u) - wrong * u) + np.sum(((fit - (0, 1)) / prior) ** 2) / 2
        )

    mode = minimize(loss, np.array([0.0, 1.0])).x
    chance = 1 / (1 + np.exp(-(mode @ design)))
    precision = (design * chance * (1 - chance)) @ design.T + np.diag(prior**-2.0)
    covariance = np.linalg.inv(precision) + np.diag(np.square(LEFT)) * bool(len(known))
    spread = np.linalg.cholesky(covariance)
    found = mode + np.array(list(itertools.product(ndtri(QUANTILES), repeat=2))) @ spread.T
    found[:, 1] = np.maximum(found[:, 1], 0)
    return 1 / (1 + np.exp(-(found[:, :1] + found[:, 1:] * _log_odds(claims))))


def _log_odds(chance: Array) -> Array:
    kept = np.clip(chance, 1e-4, 1 - 1e-4)
    return np.log(kept) - np.log1p(-kept)


def plan_draw(
    rows: Counts, errors: Array, allowed: Counts, answers: int, alpha: float
) -> Plan | None:
    """Choose the frame, its two strata and the levels to test.

    For each level the evidence against "more wrong labels than allowed" is

        E = min over d of  n_1 KL(p_1, d / N_1) + n_2 KL(p_2, (D - d) / N_2),

    p the expected share of wrong labels in a stratum, N its rows, n its draws, D one more than
    allowed. It is certified with a chance of about Phi(sqrt(2 E) - z), z the normal quantile of
    1 - alpha, if all levels before it are. For each curve some plan certifies the most rows; the
    plan is chosen that certifies the largest share of these, on average over the curves.

    Args:
        rows: at or above each level. [levels]
        errors: expected share of wrong labels among the rows that each level adds.
            [curves, levels]
        allowed: wrong labels at each level. [levels]
        answers: rows to draw.

    Returns:
        None where nothing is expected to be certified.
    """
    plans, expected = _plans(rows, errors, allowed, answers, alpha)
    most = expected.max(axis=0)
    if not most.any():
        return None
    return plans[int((expected[:, most > 0] / most[most > 0]).mean(axis=1).argmax())]


def expected_rows(rows: Counts, errors: Array, allowed: Counts, answers: int, alpha: float) -> int:
    """Return how many rows the best plan is expected to certify, on average over the curves."""
    return round(float(_plans(rows, errors, allowed, answers, alpha)[1].mean(axis=1).max()))


def _plans(
    rows: Counts, errors: Array, allowed: Counts, answers: int, alpha: float
) -> tuple[list[Plan], Array]:
    """Return plans, and the rows that each is expected to certify. [plans, curves]"""
    wrong = np.cumsum(np.diff(rows, prepend=0) * errors, axis=1)
    plans, expected = list[Plan](), list[Array]()
    least = max(int(rows[-1] // 30), min(answers, int(rows[-1])))
    for last in _spaced(rows, least, len(rows) - 1, LASTS):
        draws = min(answers, int(rows[last]))
        levels = _spaced(rows, int(rows[last] * 0.2), last, STEPS)
        designs = [(-1, 0)]
        for share in BORDERS:
            border = int(np.searchsorted(rows, share * rows[last]))
            if border < last:
                firsts = [int(part * draws) for part in THINNED]
                designs += [(border, n) for n in firsts if n < draws * rows[border] / rows[last]]
        for border, first in designs:
            evidence = _evidence(rows, wrong, allowed, draws, levels, border, last, first)
            most = _evidence(rows, 0 * wrong[:1], allowed, draws, levels, border, last, first)
            evidence = np.where(most >= -np.log(alpha), evidence, 0.0)  # else it cannot pass
            expected += _certified(rows[levels], evidence, alpha)
            strata = (first, draws - first)
            plans += [Plan(border, last, strata, tuple(levels[n:])) for n in range(len(levels))]
    return plans, np.array(expected)


def _spaced(rows: Counts, low: int, last: int, steps: int) -> list[int]:
    """Return levels at nearly even steps of rows, from `low` rows to the last level."""
    places = np.searchsorted(rows[: last + 1], np.linspace(max(low, 1), rows[last], steps))
    return np.unique(np.minimum(places, last)).tolist()


def _certified(rows: Counts, evidence: Array, alpha: float) -> list[Array]:
    """Return the rows that are expected to be certified, by where the test starts.

    Args:
        rows: [levels]
        evidence: [curves, levels]

    Returns:
        [levels][curves]
    """
    from scipy.special import ndtr, ndtri

    passed = ndtr(np.sqrt(2 * evidence) + ndtri(alpha)) * (evidence > 0)
    added = np.diff(rows, prepend=0)
    found = []
    for start in range(len(rows)):
        chance = np.minimum.accumulate(passed[:, start:], axis=1)
        above = chance[:, 0] * (rows[start] - added[start])
        found.append(above + (chance * added[start:]).sum(axis=1))
    return found


def _evidence(
    rows: Counts,
    wrong: Array,
    allowed: Counts,
    answers: int,
    levels: list[int],
    border: int,
    last: int,
    first: int,
) -> Array:
    """Return the evidence expected at levels, in nats. [curves, levels]"""
    at = np.array(levels)
    head = rows[border] if border >= 0 else 0
    head_wrong = wrong[:, [border]] if border >= 0 else 0.0
    least = (allowed[at] + 1).astype(float)
    above = np.minimum(rows[at], head).astype(float)
    below = rows[at] - above
    draws = [
        first * above / max(head, 1),
        (answers - first) * below / max(rows[last] - head, 1),
    ]
    of_above = np.minimum(wrong[:, at], head_wrong)
    shares = [of_above / np.maximum(above, 1), (wrong[:, at] - of_above) / np.maximum(below, 1)]
    low, high = np.maximum(0, least - below), np.minimum(above, least)
    split = low + np.linspace(0, 1, SPLITS)[:, None] * (high - low)  # [splits, levels]
    found = np.zeros((SPLITS, *of_above.shape))
    for size, drawn, share, part in zip(
        (above, below), draws, shares, (split, least - split), strict=True
    ):
        worst = np.clip(part / np.maximum(size, 1), 0, 1)[:, None, :]
        cost = divergence(np.minimum(share, 1)[None], worst)
        found += np.where(drawn > 0, drawn * np.where(drawn > 0, cost, 0), 0)
    unread = max(1 - answers / rows[last], 1e-9)  # of a small frame, most is known
    enough = (wrong[:, at] < least) & (least >= 1)
    return np.where(enough, np.where(least > rows[at], np.inf, found.min(axis=0)) / unread, 0.0)
