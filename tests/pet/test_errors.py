"""Errors: what a user sees, and with what status the command ends."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest

from pet.errors import (
    InputError,
    Interrupted,
    LockedError,
    PetError,
    Problem,
    as_pet_error,
    did_you_mean,
    interrupted_read,
    locked_error,
)

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


def test_a_problem_without_a_place_or_a_fix_leaves_that_line_out() -> None:
    assert str(Problem("", "memory", "none")) == "expected: memory\n  found:    none"
    assert str(Problem("", "memory", "none", "buy some")).splitlines()[2:] == [
        "  fix:      buy some"
    ]
    assert str(Problem("a.toml", "text", "none")) == ("a.toml\n  expected: text\n  found:    none")


def test_a_pet_error_lays_out_its_problems_as_an_input_error_does() -> None:
    error = PetError(FIRST)
    assert (error.problems, str(error)) == ([FIRST], str(FIRST))
    error = PetError(iter([FIRST, SECOND, FIRST]))
    assert (error.problems, str(error)) == ([FIRST, SECOND], f"{FIRST}\n{SECOND}")
    with pytest.raises(AssertionError, match="at least one problem"):
        PetError([])


def test_a_pet_error_may_be_plain_text_or_nothing() -> None:
    assert (PetError("no network").problems, str(PetError("no network"))) == ([], "no network")
    assert str(PetError()) == ""


def test_an_error_of_something_outside_says_that_the_same_command_goes_on() -> None:
    assert str(interrupted_read("a.csv", OSError(5, "Input/output error"))) == (
        "a.csv\n"
        "  expected: a file that can be read to its end\n"
        "  found:    Input/output error\n"
        "  fix:      look after the file, then give the same command again: it goes on"
    )


def test_an_error_of_a_held_folder_says_who_holds_it() -> None:
    error = locked_error("runs/news", "it is held by process 7", "; or ask it to end")
    assert type(error) is LockedError
    assert str(error) == (
        "runs/news\n"
        "  expected: a run that nobody else is working on\n"
        "  found:    it is held by process 7\n"
        "  fix:      wait for it to end, stop it, or choose another --out; or ask it to end"
    )


def test_did_you_mean_finds_near_names_whatever_their_case() -> None:
    assert did_you_mean("TEXTS", ["text", "mask"]) == "text"
    assert did_you_mean("wholly other", ["text", "mask"]) == ""


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


@pytest.mark.parametrize("kind", [InputError, PetError, LockedError])
def test_an_error_of_another_process_comes_with_its_problems(
    kind: type[InputError | PetError],
) -> None:
    error = kind([Problem("a.csv", "text", "nothing", "write some"), Problem(*"abcd")])
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert back.problems == error.problems
    assert str(back) == str(error)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        pa.ArrowMemoryError("malloc of size 6871947674 failed"),
    ],
)
def test_out_of_memory_is_named_as_that(error: Exception) -> None:
    """Not as a damaged model or file, which would be copied again in vain."""
    found = as_pet_error(error)
    assert found is not None
    assert (found.exit_status, found.problems[0].where) == (1, "memory")
    assert "smaller model" in found.problems[0].fix


def test_a_place_without_permission_is_one_screen_that_names_it() -> None:
    found = as_pet_error(PermissionError(13, "Permission denied", "/data/pool"))
    assert found is not None
    assert found.exit_status == 2
    assert str(found).splitlines()[0] == "/data/pool"
    assert "Permission denied" in str(found)


def test_a_mistake_of_ours_is_not_passed_off_as_the_users() -> None:
    assert as_pet_error(KeyError("x")) is None
    assert as_pet_error(OSError("without a place")) is None
