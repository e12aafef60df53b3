"""How far people agree on the rows that both have labeled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sklearn.metrics import cohen_kappa_score


@dataclass(frozen=True)
class Agreement:
    """Two people's agreement.

    Attributes:
        rows: those that both have labeled.
        same: those to which both gave the same label.
        kappa: Cohen's (1960); None where it is undefined: no row, or both used one label only.
    """

    people: tuple[str, str]
    rows: int
    same: int
    kappa: float | None

    def __str__(self) -> str:
        people = " and ".join(self.people)
        if not self.rows:
            return f"{people}: no row in common"
        kappa = "undefined (one label only)" if self.kappa is None else f"{self.kappa:.2f}"
        share = f"{self.same / self.rows:.0%} of {self.rows:,} rows alike"
        return f"{people}: {share}, Cohen's kappa {kappa}"


def agreement_of(
    people: tuple[str, str], first: Mapping[int, str], second: Mapping[int, str]
) -> Agreement:
    """Compare two people's labels: row -> label."""
    both = sorted(first.keys() & second.keys())
    ours, theirs = [first[row] for row in both], [second[row] for row in both]
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    kappa = None
    if len({*ours, *theirs}) > 1:
        kappa = float(cohen_kappa_score(ours, theirs))
    return Agreement(people, len(both), same, None if kappa is None or math.isnan(kappa) else kappa)
