"""The cuts: rows in; a pool, a test set, a validation set and small labeled sets out.

Nothing here draws random numbers. Rows are put in the order of a hash of a salt and their id,
which is the same on every machine and in every version of Python.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar


@dataclass(frozen=True)
class Row:
    """One labeled text."""

    id: str
    text: str
    label: str


@dataclass(frozen=True)
class Sizes:
    """How many rows each part has. Labeled sets of one seed are nested: 10 in 50 in 100."""

    pool: int = 3_000
    test: int = 1_000
    validation: int = 1_000
    labeled: tuple[int, ...] = (10, 50, 100)
    seeds: int = 8


class Identified(Protocol):
    """What has an id of its own."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Identified)

Share = Callable[[Sequence[Row], int, str], list[Row]]


def cut(
    train: Sequence[Row], held_out: Sequence[Row], sizes: Sizes, share: Share | None = None
) -> dict[str, list[Row]]:
    """Return every part by name: `pool`, `test`, `validation`, `labeled-<size>-seed<seed>`.

    The pool and the labeled sets come from `train`; test and validation from `held_out`, which
    may be the same rows. No row is in two parts, but for the nesting within one seed.

    Args:
        share: draws the rows of every part but the pool; `balanced` if not given. With
            `proportional`, labels are as rare there as whoever labels random rows finds them.
    """
    share = share or balanced
    test = share(held_out, sizes.test, "test")
    validation = share(without(held_out, test), sizes.validation, "validation")
    free = without(train, test, validation)
    pool = proportional(free, sizes.pool, "pool")
    parts = {"pool": pool, "test": test, "validation": validation}
    return parts | labeled_sets(without(free, pool), sizes, share)


def labeled_sets(rows: Sequence[Row], sizes: Sizes, share: Share) -> dict[str, list[Row]]:
    """Return the labeled sets; those of different seeds have no row in common."""
    sets = {}
    for seed in range(sizes.seeds):
        drawn = rows
        for size in sorted(sizes.labeled, reverse=True):
            drawn = share(drawn, size, f"labeled-{seed}")
            sets[f"labeled-{size}-seed{seed}"] = drawn
        rows = without(rows, sets[f"labeled-{max(sizes.labeled)}-seed{seed}"])
    return sets


def usable(rows: Iterable[Row]) -> list[Row]:
    """Drop rows without text and rows whose text has been there before."""
    first: dict[str, Row] = {}
    for row in rows:
        if row.text.strip():
            first.setdefault(row.text.strip(), row)
    return list(first.values())


def shuffled(rows: Iterable[T], salt: str) -> list[T]:
    """Return the rows in an order that looks random and depends on nothing but salt and ids."""
    return sorted(rows, key=lambda row: hashlib.sha256(f"{salt}/{row.id}".encode()).digest())


def without(rows: Iterable[Row], *taken: Iterable[Row]) -> list[Row]:
    """Return the rows whose id is in none of the sets `taken`."""
    ids = {row.id for part in taken for row in part}
    return [row for row in rows if row.id not in ids]


def balanced(rows: Sequence[Row], size: int, salt: str) -> list[Row]:
    """Draw `size` rows, as even over the labels as their numbers allow."""
    return draw(rows, even_quotas(count(rows), size), salt)


def proportional(rows: Sequence[Row], size: int, salt: str) -> list[Row]:
    """Draw `size` rows in the proportions that the labels have in `rows`."""
    return draw(rows, proportional_quotas(count(rows), size), salt)


def draw(rows: Sequence[Row], quotas: Mapping[str, int], salt: str) -> list[Row]:
    """Draw as many rows of each label as its quota says, and mix them."""
    mixed = shuffled(rows, salt)
    by_label = {label: [row for row in mixed if row.label == label] for label in quotas}
    drawn = [row for label, quota in quotas.items() for row in by_label[label][:quota]]
    return shuffled(drawn, salt)


def count(rows: Iterable[Row]) -> dict[str, int]:
    """Return the number of rows per label, labels sorted."""
    return dict(sorted(Counter(row.label for row in rows).items()))


def even_quotas(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """Share `size` evenly; what a rare label cannot give, the others give instead."""
    assert size <= sum(counts.values()), f"{size} rows wanted of {dict(counts)}"
    quotas = {}
    left = size
    rarest_first = sorted(counts, key=lambda label: (counts[label], label))
    for position, label in enumerate(rarest_first):
        quotas[label] = min(counts[label], left // (len(counts) - position))
        left -= quotas[label]
    return quotas


def proportional_quotas(counts: Mapping[str, int], size: int) -> dict[str, int]:
    """Share `size` by largest remainders, so that the quotas add up to it exactly."""
    total = sum(counts.values())
    assert size <= total, f"{size} rows wanted of {dict(counts)}"
    quotas = {label: size * number // total for label, number in counts.items()}
    by_remainder = sorted(counts, key=lambda label: (-(size * counts[label] % total), label))
    for label in by_remainder[: size - sum(quotas.values())]:
        quotas[label] += 1
    return quotas
