"""What a run is expected to take, stage by stage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pet.checking.estimate import Estimate, about, estimate
from pet.inputs.inputs import Inputs
from pet.inputs.run_tables import read_tables
from tests.support import samples
from tests.support.rates import FAST


def estimated(config_for: Any, **settings: Any) -> Estimate:
    config = config_for(**settings)
    tables = read_tables(config, [])
    inputs = Inputs(config, tables.task, tables.labeled, tables.test, tables.pool, {})
    return estimate(inputs, 10_000, FAST)


def stages(config_for: Any, **settings: Any) -> dict[str, float]:
    return estimated(config_for, **settings).stages


def test_the_copy_of_a_teacher_that_is_trained_jointly_takes_its_place(config_for: Any) -> None:
    settings = {"member": {"steps": 0}}
    plain = estimated(config_for, **settings)
    jointly = estimated(config_for, joint={"steps": 20}, **settings)
    assert jointly.disk - plain.disk == pytest.approx(FAST.teacher_bytes)


def test_members_cost_their_steps_and_the_rows_that_they_score(config_for: Any) -> None:
    count, measured = len(samples.PATTERNS), 12 + len(samples.test_rows())
    found = stages(config_for, unlabeled_rows=5000)
    each = FAST.loaded + 2 * FAST.member_step + FAST.loaded + FAST.scored * (5000 + measured)
    assert found["generation 0"] == pytest.approx(count * each)
    assert "held-out members" not in found


def test_what_is_done_more_costs_more(config_for: Any) -> None:
    plain = stages(config_for)
    assert stages(config_for, generations=2).keys() - plain.keys() == {
        "generation 1",
        "generation 2",
    }
    assert "held-out members" in stages(config_for, out_of_bag=0.25)
    assert "adaptation" in stages(config_for, adapt_steps=5)
    assert "embeddings" in stages(config_for, encoder="e")
    auxiliary = stages(config_for, lm_weight=0.1)
    assert auxiliary["generation 0"] > plain["generation 0"]
    assert stages(config_for, labeled=None).keys() <= plain.keys() - {"supervised"}


def test_untrained_members_are_asked_about_what_the_prior_did_not_need(config_for: Any) -> None:
    found = stages(config_for, member={"steps": 0})
    assert found["generation 0"] == pytest.approx(3 * FAST.together * (10_000 - 1000))


@pytest.mark.parametrize(
    ("seconds", "words"), [(40, "40 seconds"), (660, "11 minutes"), (9000, "2.5 hours")]
)
def test_a_time_is_written_as_a_person_would(seconds: float, words: str) -> None:
    assert about(seconds) == words


def test_jobs_side_by_side_take_a_share_of_the_time(
    config_for: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = stages(config_for, unlabeled_rows=5000)
    monkeypatch.setattr("tests.pet.checking.test_estimate.FAST", replace(FAST, jobs=2))
    found = stages(config_for, unlabeled_rows=5000)
    assert found["generation 0"] == pytest.approx(alone["generation 0"] * 2 / 3)  # of 3 jobs
    assert found["labels"] < alone["labels"]
    assert alone["student"] == found["student"], "it has all threads"
