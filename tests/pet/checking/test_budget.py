"""Settings that are chosen for a time: once, and never against the user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pet.checking import budget as budgets
from pet.checking.budget import Choice, choose
from pet.checking.rates import Rates
from pet.config import Budget, RunConfig, seconds_of
from pet.errors import InputError
from pet.inputs.inputs import Inputs
from pet.settings import read_budget
from tests.support.rates import FAST

ROWS = 50_000  # of the pool


def chosen(inputs: Inputs, time: str, *kept: str) -> Choice:
    return choose(inputs, ROWS, lambda config: FAST, Budget(time=time, kept=kept))


def test_what_fits_is_left_as_it_is(inputs_of: Callable[..., Inputs]) -> None:
    found = chosen(inputs_of(), "10h")
    assert found.settings == {}
    assert found.expected.seconds == found.whole.seconds
    assert "nothing is left out" in found.describe("10h")


@pytest.mark.parametrize("time", ["3m", "5m", "10m", "20m"])
def test_a_run_fits_into_its_time_and_uses_most_of_it(
    inputs_of: Callable[..., Inputs], time: str
) -> None:
    found = chosen(inputs_of(), time)
    planned = budgets.MARGIN * seconds_of(time)
    assert 0.5 * planned < found.expected.seconds <= planned < found.whole.seconds
    assert "unlabeled_rows=5000 instead of 30000" in chosen(inputs_of(), "10m").describe(time)


def test_more_time_never_leaves_out_more(inputs_of: Callable[..., Inputs]) -> None:
    sizes = [chosen(inputs_of(), f"{m}m").expected.seconds for m in (3, 5, 8, 13, 21, 34)]
    assert sizes == sorted(sizes)


def test_settings_of_the_user_are_kept(inputs_of: Callable[..., Inputs]) -> None:
    """Those that differ from the preset's, and those that are named beside them."""
    inputs = inputs_of(unlabeled_rows=8000)
    found = chosen(inputs, "10m", "student.steps")
    assert not {"unlabeled_rows", "student.steps"} & set(found.settings)
    assert found.settings["generations"] < found.before["generations"]


def test_a_time_too_short_names_the_least_there_is(inputs_of: Callable[..., Inputs]) -> None:
    with pytest.raises(InputError) as caught:
        chosen(inputs_of(), "1s")
    (problem,) = caught.value.problems
    assert problem.where == "--budget"
    assert "at least 2m" in problem.expected
    assert "generations=0" in problem.expected
    assert chosen(inputs_of(), "2m").settings, "what is advised is enough"


def test_published_settings_are_not_changed(inputs_of: Callable[..., Inputs]) -> None:
    with pytest.raises(InputError, match="paper"):
        chosen(inputs_of(preset="paper"), "10m")


def test_a_large_teacher_gets_the_encoder_as_its_student(
    inputs_of: Callable[..., Inputs],
) -> None:
    slow = replace(FAST, student_step=5.0, student_scored=0.05)

    def measure(config: RunConfig) -> Rates:
        return FAST if config.student_model == "e" else slow

    inputs = inputs_of(encoder="e")
    found = choose(inputs, ROWS, measure, Budget(time="20m"))
    assert found.settings["student_model"] == "e"
    assert "student_model=e instead of m" in found.describe("20m")
    own = inputs_of(encoder="e", student_model="s")
    least = choose(own, ROWS, lambda config: FAST, Budget(time="20m"))
    assert "student_model" not in least.settings


@pytest.mark.parametrize("time", ["0", "0m", "-5m", "10x", "10", "", "m", "5m5m", "1e3s", "nan"])
def test_what_is_no_time_is_refused(time: str) -> None:
    with pytest.raises(InputError, match="such as 90s, 10m, 2h"):
        read_budget(time)


@pytest.mark.parametrize(
    ("time", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), ("5m1s", 301)]
)
def test_times_are_read(time: str, seconds: float) -> None:
    assert read_budget(time).seconds == seconds
