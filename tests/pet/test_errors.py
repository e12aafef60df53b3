"""Errors: what a user sees, and with what status the command ends."""

from __future__ import annotations

import pickle

import pytest

from pet.errors import InputError, Interrupted, LockedError, PetError, Problem

FIRST = Problem("a.toml, labels", "two labels", "one", "add one")
SECOND = Problem("b.csv", "a column 'text'", "none", "rename it")


def test_a_problem_says_where_expected_found_and_fix_in_four_lines() -> None:
    lines = str(FIRST).splitlines()
    assert lines == [
        "a.toml, labels",
        "  expected: two labels",
        "  found:    one",
        "  fix:      add one",
    ]


def test_an_input_error_shows_every_problem() -> None:
    error = InputError(problem for problem in (FIRST, SECOND))
    assert error.problems == [FIRST, SECOND]
    assert str(error) == f"{FIRST}\n{SECOND}"


def test_an_input_error_of_one_problem_needs_no_list() -> None:
    assert InputError(FIRST).problems == [FIRST]


def test_an_input_error_without_a_problem_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="at least one problem"):
        InputError([])


@pytest.mark.parametrize(
    ("kind", "status"), [(PetError, 1), (LockedError, 2), (Interrupted, 130), (InputError, 2)]
)
def test_every_error_is_a_pet_error_with_its_exit_status(kind: type[PetError], status: int) -> None:
    assert issubclass(kind, PetError)
    assert kind.exit_status == status


def test_an_error_of_another_process_comes_with_its_problems() -> None:
    error = InputError([Problem("a.csv", "text", "nothing", "write some"), Problem(*"abcd")])
    back = pickle.loads(pickle.dumps(error))
    assert back.problems == error.problems
    assert str(back) == str(error)
