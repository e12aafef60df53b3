"""The cuts: disjoint, balanced, and the same for everybody."""

from __future__ import annotations

import pytest

from data.cuts import (
    Row,
    Sizes,
    count,
    cut,
    even_quotas,
    proportional_quotas,
    shuffled,
    usable,
)

SIZES = Sizes(pool=60, test=20, validation=20, labeled=(4, 10), seeds=3)


def rows(prefix: str, **counts: int) -> list[Row]:
    return [
        Row(f"{prefix}-{label}-{number}", f"{prefix} {label} {number}", label)
        for label, total in counts.items()
        for number in range(total)
    ]


@pytest.fixture
def parts() -> dict[str, list[Row]]:
    return cut(rows("train", a=90, b=60), rows("test", a=30, b=30), SIZES)


def ids(part: list[Row]) -> set[str]:
    return {row.id for row in part}


def test_no_row_is_in_two_parts(parts):
    one_per_seed = ["pool", "test", "validation", *(f"labeled-10-seed{seed}" for seed in range(3))]
    together = [row.id for name in one_per_seed for row in parts[name]]
    assert len(together) == 60 + 20 + 20 + 3 * 10
    assert len(set(together)) == len(together)


def test_one_file_for_everything_keeps_test_rows_out_of_the_pool():
    everything = rows("movie", a=120, b=100)
    parts = cut(everything, everything, SIZES)
    held_out = ids(parts["test"]) | ids(parts["validation"])
    assert len(held_out) == 40
    assert not held_out & ids(parts["pool"])
    assert not any(held_out & ids(part) for name, part in parts.items() if "labeled" in name)


def test_a_small_labeled_set_lies_in_the_larger_one_of_its_seed(parts):
    for seed in range(3):
        assert ids(parts[f"labeled-4-seed{seed}"]) < ids(parts[f"labeled-10-seed{seed}"])


def test_every_part_but_the_pool_is_balanced(parts):
    assert count(parts["test"]) == {"a": 10, "b": 10}
    assert count(parts["validation"]) == {"a": 10, "b": 10}
    assert count(parts["labeled-10-seed2"]) == {"a": 5, "b": 5}
    assert count(parts["labeled-4-seed2"]) == {"a": 2, "b": 2}


def test_the_pool_keeps_its_natural_proportions(parts):
    assert count(parts["pool"]) == {"a": 36, "b": 24}


def test_another_order_of_rows_gives_the_same_parts(parts):
    train, held_out = rows("train", a=90, b=60), rows("test", a=30, b=30)
    assert cut(train[::-1], held_out[::-1], SIZES) == parts


def test_the_order_does_not_depend_on_the_python_release():
    """Known answer: the order must never depend on a random number generator."""
    order = [row.id for row in shuffled(rows("x", a=5), "salt")]
    assert order == ["x-a-1", "x-a-3", "x-a-2", "x-a-4", "x-a-0"]


def test_rows_do_not_come_out_label_by_label(parts):
    labels = [row.label for row in parts["test"]]
    assert labels != sorted(labels)
    assert labels != sorted(labels, reverse=True)


def test_empty_and_repeated_texts_are_dropped():
    given = [Row("1", "same", "a"), Row("2", " ", "a"), Row("3", "same ", "b"), Row("4", "x", "b")]
    assert [row.id for row in usable(given)] == ["1", "4"]


@pytest.mark.parametrize(
    ("counts", "size", "quotas"),
    [
        ({"a": 9, "b": 9}, 4, {"a": 2, "b": 2}),
        ({"a": 9, "b": 1, "c": 9}, 9, {"b": 1, "a": 4, "c": 4}),
        ({"a": 9, "b": 9}, 5, {"a": 2, "b": 3}),
        ({"a": 2, "b": 3}, 5, {"a": 2, "b": 3}),
    ],
)
def test_a_rare_label_does_not_leave_the_part_too_small(counts, size, quotas):
    assert even_quotas(counts, size) == quotas


@pytest.mark.parametrize(
    ("counts", "size", "quotas"),
    [
        ({"a": 50, "b": 50}, 3, {"a": 2, "b": 1}),
        ({"a": 70, "b": 20, "c": 10}, 10, {"a": 7, "b": 2, "c": 1}),
        ({"a": 1, "b": 1, "c": 1}, 2, {"a": 1, "b": 1, "c": 0}),
    ],
)
def test_rounding_does_not_leave_the_pool_a_row_short(counts, size, quotas):
    assert proportional_quotas(counts, size) == quotas
