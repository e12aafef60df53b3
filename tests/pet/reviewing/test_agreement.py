"""Agreement of two people: chance is taken out, and where it cannot be, that is said."""

from __future__ import annotations

import pytest

from pet.reviewing.agreement import agreement_of

PEOPLE = ("Ann", "Ben")


def test_kappa_takes_chance_out_of_what_two_people_share() -> None:
    """The example of Cohen (1960) in another form: 20 and 15 alike of 50."""
    first = dict(enumerate(["yes"] * 25 + ["no"] * 25))
    second = dict(enumerate(["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15))
    found = agreement_of(PEOPLE, first, second)
    assert (found.rows, found.same) == (50, 35)
    assert found.kappa == pytest.approx(0.4)
    assert str(found) == "Ann and Ben: 70% of 50 rows alike, Cohen's kappa 0.40"


def test_only_rows_that_both_have_labeled_count() -> None:
    found = agreement_of(PEOPLE, {0: "a", 1: "b", 2: "a"}, {1: "b", 2: "a", 9: "b"})
    assert (found.rows, found.same, found.kappa) == (2, 2, 1.0)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({0: "a", 1: "a"}, {0: "a", 1: "a"}, "kappa undefined (one label only)"),
        ({0: "a"}, {1: "a"}, "no row in common"),
    ],
)
def test_where_kappa_is_undefined_no_number_is_shown(
    first: dict[int, str], second: dict[int, str], said: str
) -> None:
    found = agreement_of(PEOPLE, first, second)
    assert found.kappa is None
    assert said in str(found)
