"""The lineup: which labeled rows are held out, by whom, and what that measures of members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.ensemble import stopping as growing
from pet.ensemble.lineup import unused_labels
from pet.ensemble.member_training import Drawn, draw, training_rows
from pet.ensemble.members import Member, folder_of
from pet.ensemble.predictions import out_of_fold_logits
from pet.ensemble.weights import (
    AFTER_TRAINED,
    AFTER_UNTRAINED,
    ensemble_scaling,
    expected_scaling,
    member_weights,
    teacher_probabilities,
)
from pet.inputs.pool_sample import sample_pool
from pet.inputs.reading import open_session
from pet.inputs.session import Session
from pet.method.calibration import fit_temperature
from pet.pipeline import label_pool
from pet.storage.files import read_record
from tests.support import samples
from tests.support.lineups import held_out_of, named, planned

Configure = Callable[..., Any]
GROWN = {"generations": 2, "growth_factor": 1.5, "out_of_bag": 0.5}
STARTS = [pytest.param(100, id="untrained"), pytest.param(0, id="trained at once")]


@pytest.fixture(scope="module")
def grown(
    inputs_folder: Path, model_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, tuple[Session, dict[str, Any]]]:
    """Runs that grew twice, by `train_from`: inputs and report."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "degradation", lambda *args, **more: "")
        for start in (100, 0):
            out = tmp_path_factory.mktemp("grown") / "run"
            config = samples.tiny_config(
                inputs_folder, model_folder("bert"), out, train_from=start, **GROWN
            )
            found[start] = (label_pool(config), open_session(config))[::-1]
    return found


def test_held_out_members_leave_different_rows_out_and_together_cover_as_many_as_they_can(
    config_for: Configure,
) -> None:
    """Drawn by each for itself, two lines of a quarter spoke of 17 rows of 50 instead of 24."""
    session = open_session(config_for(repetitions=3))
    held_out_members = held_out_of(session, 0)
    rows = {
        held_out: set(planned(session).held_out_rows[held_out].tolist())
        for held_out in held_out_members
    }
    for held_out in held_out_members:
        labels = session.labeled.labels[sorted(rows[held_out])]
        assert np.bincount(labels).tolist() == [1, 1, 1], "a quarter of four rows of each label"
        same = {
            other
            for other in held_out_members
            if rows[other] & rows[held_out]
            and (other.pattern == held_out.pattern or other.repetition == held_out.repetition)
        }
        assert same == {held_out}
    assert set.union(*rows.values()) == set(range(12))


def test_a_pattern_that_is_added_changes_no_held_out_member_of_the_others(
    config_for: Configure, inputs_folder: Path, tmp_path: Path
) -> None:
    task = (inputs_folder / "task.toml").read_text()
    more = tmp_path / "more.toml"
    more.write_text(task + '\nadded = "{mask} added: {text}"\n')
    before, after = (
        {
            held_out: planned(session).held_out_rows[held_out].tolist()
            for held_out in held_out_of(session, 0)
        }
        for session in (open_session(config_for()), open_session(config_for(task=str(more))))
    )
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()


def test_a_label_of_one_or_two_rows_is_left_out_by_nobody(config_for: Configure) -> None:
    """A held-out member that has never seen a label measures nothing of models that have."""
    session = open_session(config_for())
    rare = replace(session.labeled, labels=np.array([0] * 8 + [1] * 2 + [2] * 2))
    few = replace(session, inputs=replace(session.inputs, labeled=rare))
    rows = [planned(few).held_out_rows[held_out] for held_out in held_out_of(few, 0)]
    assert len(rows) == 3
    assert all(left.max() < 8 for left in rows)


def test_a_line_that_leaves_nothing_out_has_no_held_out_member(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taught every row, and would find each model right about what it has learned."""
    monkeypatch.setattr("pet.ensemble.lineup.HELD_OUT_LINES", 10)
    grown = {**GROWN, "out_of_bag": 0.1, "repetitions": 8}
    session = open_session(config_for(train_from=0, **grown))
    uneven = replace(session.labeled, labels=np.array([0] * 8 + [1] * 2 + [2] * 2))
    few = replace(session, inputs=replace(session.inputs, labeled=uneven))
    held_out_members = held_out_of(few, 1)
    assert len(held_out_members) > 3
    assert all(len(planned(few).held_out_rows[held_out]) for held_out in held_out_members)


def test_members_learn_from_every_labeled_row_and_only_held_out_members_leave_some_out(
    config_for: Configure,
) -> None:
    session = open_session(config_for())
    sample_pool(session)
    for member, held_out in zip(planned(session).first, held_out_of(session, 0), strict=True):
        nothing = draw(session, planned(session), member)
        assert len(training_rows(session, planned(session), member, nothing)[1]) == len(
            session.labeled
        )
        kept = len(session.labeled) - len(planned(session).held_out_rows[held_out])
        assert len(training_rows(session, planned(session), held_out, nothing)[1]) == kept
        assert named(session).fingerprints[member] != named(session).fingerprints[held_out]


def test_there_are_no_held_out_members_where_none_is_trained_or_calibration_is_off(
    config_for: Configure,
) -> None:
    assert not held_out_of(open_session(config_for(out_of_bag=0)), 0)
    assert not held_out_of(open_session(config_for(out_of_bag=0.1)), 0), (
        "less than half a row of four"
    )
    assert not held_out_of(open_session(config_for(train_from=100)), 0)
    assert not held_out_of(open_session(config_for(member={"steps": 0})), 0)


def knows(session: Session, member: Member) -> set[int]:
    """The labeled rows that somebody has learned from, or somebody who taught it."""
    if member.generation is None:
        return set()
    nothing = np.zeros(0, np.int64)
    none = np.zeros((0, len(session.task.labels)), np.float32)
    alone = Drawn(nothing, none, {}, none)
    columns, _ = training_rows(session, planned(session), member, alone)
    texts = session.labeled.columns["text"]
    own = {texts.index(text) for text in columns["text"]}
    teachers = planned(session).teachers[member] if member.generation else []
    return own.union(*(knows(session, teacher) for teacher in teachers))


@pytest.mark.parametrize("start", STARTS)
def test_nobody_in_a_line_of_held_out_members_has_learned_of_the_rows_that_it_left_out(
    grown: dict[int, tuple[Session, dict[str, Any]]], start: int
) -> None:
    """What teachers have learned they hand on: such a held-out member finds every model right."""
    session, _ = grown[start]
    for generation in (1, 2):
        held_out_members = held_out_of(session, generation)
        assert len(held_out_members) == 2
        for held_out in held_out_members:
            rows = set(planned(session).held_out_rows[held_out].tolist())
            assert len(rows) == (12 if start else 6)
            assert knows(session, held_out) == set(range(12)) - rows
    for member in planned(session).generations[2]:
        assert knows(session, member) == set(range(12)), "members leave nothing out"


@pytest.mark.parametrize("start", STARTS)
def test_a_later_ensemble_is_calibrated_by_held_out_members(
    grown: dict[int, tuple[Session, dict[str, Any]]], start: int
) -> None:
    session, report = grown[start]
    members = planned(session).generations[2]
    weights = member_weights(session, planned(session), members)
    found = out_of_fold_logits(session, planned(session), members, weights)
    assert found is not None
    rows, logits = found
    evaluation = [
        set(planned(session).held_out_rows[held_out].tolist())
        for held_out in held_out_of(session, 2)
    ]
    assert set(rows.tolist()) == set.union(*evaluation)
    expected = expected_scaling(session, planned(session), members, weights).temperature
    truth = session.labeled.labels[rows]
    prior = AFTER_UNTRAINED if start else AFTER_TRAINED
    temperature = fit_temperature(logits, truth, prior, expected)
    assert temperature != expected
    assert ensemble_scaling(session, planned(session), members, weights).temperature == temperature
    assert report["ensemble_temperature"] == temperature


@pytest.mark.parametrize("start", STARTS)
def test_without_a_test_set_a_grown_ensemble_is_measured_on_held_out_rows(
    grown: dict[int, tuple[Session, dict[str, Any]]], start: int
) -> None:
    """Its members are right about all labeled rows: by that, the report would promise too much."""
    session, report = grown[start]
    measured = report["labeled"]
    held_out_members = held_out_of(session, 2)
    assert measured["unseen"]
    assert measured["ensemble"]["rows"] == len(
        {r for j in held_out_members for r in planned(session).held_out_rows[j]}
    )
    evaluation = {name for name, own in measured["patterns"].items() if "trained" in own}
    assert evaluation == {held_out.pattern for held_out in held_out_members}
    assert "best_pattern" not in measured, "nobody knows whether it is one of those"
    assert "best_pattern" in report["test"]


def test_only_held_out_members_that_teach_others_score_the_pool(
    grown: dict[int, tuple[Session, dict[str, Any]]],
) -> None:
    session, _ = grown[0]
    asked = {
        held_out.name: bool(list((folder_of(session.folder, held_out) / "logits").glob("part-*")))
        for held_out in [
            *held_out_of(session, 0),
            *held_out_of(session, 1),
            *held_out_of(session, 2),
        ]
    }
    assert asked == {
        "held-out-category-r0": True,
        "held-out-bracket-r0": True,
        "held-out-last-r0": False,
        "held-out1-bracket-r0": True,
        "held-out1-last-r0": True,
        "held-out2-last-r0": False,
        "held-out2-category-r0": False,
    }
    kept = {path.parent.name for path in session.folder.glob("members/held-out*/*.safetensors")}
    assert kept == {name for name, teaches in asked.items() if teaches}
    logits = session.folder / "members" / "held-out1-last-r0" / "logits"
    assert {path.name[:5] for path in logits.iterdir()} == {"part-"}, "nobody reads the rest"


def test_held_out_members_change_no_member(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is measured after the fact must not be trained again."""
    names = []
    for count in (0, 2):
        monkeypatch.setattr("pet.ensemble.lineup.HELD_OUT_LINES", count)
        session = open_session(config_for(**GROWN))
        sample_pool(session)
        names.append(
            [named(session).fingerprints[member] for member in planned(session).generations[2]]
        )
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("changes", "lines"),
    [({"out_of_bag": 0}, 4), ({"out_of_bag": 0.25}, 1), ({"member": {"steps": 0}}, 4)],
    ids=["taken at their word", "three rows in all", "nobody is trained"],
)
def test_later_generations_have_no_held_out_members_where_they_would_measure_nothing(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], lines: int
) -> None:
    monkeypatch.setattr("pet.ensemble.lineup.HELD_OUT_LINES", lines)
    session = open_session(config_for(**{**GROWN, **changes}))
    assert not held_out_of(session, 1)


def test_beside_an_encoder_there_are_no_later_held_out_members_and_none_is_kept_to_teach_them(
    config_for: Configure, model_folder: Any
) -> None:
    """What patterns say is no measure of patterns and encoder together."""
    session = open_session(config_for(encoder=str(model_folder("bert")), **GROWN))
    assert held_out_of(session, 0)
    assert not held_out_of(session, 1)
    assert not planned(session).teaching[0]


@pytest.mark.parametrize(
    ("generations", "goal"), [(0, 1000), ("paper", 10)], ids=["not wanted", "large enough"]
)
def test_where_nothing_will_grow_no_held_out_member_is_kept_to_teach(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch, generations: Any, goal: int
) -> None:
    """Two models of a gigabyte that nobody is ever going to ask."""
    monkeypatch.setattr("pet.ensemble.lineup.GROWTH_GOAL", goal)
    session = open_session(config_for(**{**GROWN, "generations": generations}))
    assert held_out_of(session, 0)
    assert not planned(session).teaching[0]


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        pytest.param({"repetitions": 3}, 4, id="a line a fold"),
        pytest.param({}, 3, id="a line a pattern"),
        pytest.param({"repetitions": 3, "train_from": 100}, 2, id="each leaves all rows out"),
    ],
)
def test_lines_speak_of_as_many_rows_as_they_can_and_none_is_trained_to_repeat_another(
    config_for: Configure, changes: dict[str, Any], lines: int
) -> None:
    session = open_session(config_for(**{**GROWN, "out_of_bag": 0.25, **changes}))
    held_out_members = held_out_of(session, 2)
    assert len(held_out_members) == lines
    rows = {
        row for held_out in held_out_members for row in planned(session).held_out_rows[held_out]
    }
    assert len(rows) == (12 if "train_from" in changes else 3 * lines)


def test_lines_of_held_out_members_go_from_pattern_to_pattern(config_for: Configure) -> None:
    """Two held-out members of one pattern would measure that pattern, and not the ensemble."""
    session = open_session(config_for(repetitions=3, **GROWN))
    for generation in (1, 2):
        held_out_members = held_out_of(session, generation)
        assert len({held_out.pattern for held_out in held_out_members}) == 2
        for held_out in held_out_members:
            [teacher] = planned(session).teachers[held_out]
            assert teacher.pattern != held_out.pattern


@pytest.mark.parametrize("start", STARTS)
def test_labels_of_held_out_rows_do_not_change_what_their_members_are_taught(
    grown: dict[int, tuple[Session, dict[str, Any]]], start: int
) -> None:
    """Offsets and weights are fitted on labeled rows: labels reached held-out members by them."""
    session, _ = grown[start]
    for held_out in held_out_of(session, 1):
        own = planned(session).held_out_rows[held_out]
        labels = session.labeled.labels.copy()
        labels[own] = np.roll(labels[own], 1)
        other = replace(
            session, inputs=replace(session.inputs, labeled=replace(session.labeled, labels=labels))
        )
        said = [np.log(teacher_probabilities(of, planned(of), held_out)) for of in (session, other)]
        one, two = (own - own.mean(axis=1, keepdims=True) for own in said)
        sharpness = np.linalg.norm(one) / np.linalg.norm(two)  # they may know how sure to be
        np.testing.assert_allclose(one, sharpness * two, atol=1e-6)


def test_held_out_members_of_the_generation_that_is_kept_measure_it(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a generation that did harm would say how sure another one may be."""
    found = iter(["", "it did harm"])
    monkeypatch.setattr(growing, "degradation", lambda *args, **more: next(found))
    config = config_for(train_from=100, test=None, **GROWN)
    report = label_pool(config)
    assert {name[:2] for name in report["weights"]} == {"g1"}
    held_out_members = {path.name for path in Path(config.out).glob("members/held-out*")}
    assert held_out_members == {"held-out1-bracket-r0", "held-out1-last-r0"}
    assert report["labeled"]["unseen"]
    page = (Path(config.out) / "report.html").read_text(encoding="utf-8")
    assert "some have none" in page, "of three trained patterns two have a held-out member"


def test_a_run_that_is_to_grow_further_scores_with_its_last_held_out_members_again(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were not kept, for nobody was to be taught by them."""
    monkeypatch.setattr(growing, "degradation", lambda *args, **more: "")
    label_pool(config_for(train_from=100, **{**GROWN, "generations": 1}))
    report = label_pool(config_for(train_from=100, **GROWN), update=True)
    assert {name[:2] for name in report["weights"]} == {"g2"}


def test_held_out_members_are_made_once(
    grown: dict[int, tuple[Session, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "degradation", lambda *args, **more: "")
    session, _ = grown[100]
    listener = samples.Listener()
    label_pool(session.config, observer=listener)
    stages = read_record(session.folder / "manifest.json")["stages"]
    of_held_out = {name: stage for name, stage in stages.items() if name.startswith("held-out")}
    assert len(of_held_out) == 3, "of two generations, the first of which teaches"
    assert not any(stage["made"] for stage in of_held_out.values())
    assert not any("made again" in line for line in listener.said)


UNTRAINED = [Member("category", generation=None)]
TRUTH = np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("changes", "labels", "later", "fix"),
    [
        ({}, TRUTH, False, "--set train_from=0 trains on them"),
        ({}, TRUTH, True, "generation 1 was discarded; --set train_from=0"),
        ({}, np.zeros(3, np.int64), False, "add rows of other labels"),
        ({"member": {"steps": 0}}, TRUTH, False, "set member.steps=150"),
    ],
)
def test_where_no_member_learns_from_labeled_rows_it_is_said_why_and_what_to_set(
    config_for: Configure, changes: dict[str, Any], labels: np.ndarray, later: bool, fix: str
) -> None:
    found = unused_labels(config_for(**changes), labels, UNTRAINED, later)
    assert found.startswith("no model learns from the 3 labeled rows: ")
    assert fix in found


def test_nothing_is_said_where_a_member_learns_or_no_row_is_labeled(config_for: Configure) -> None:
    encoder = Member("", generation=0, kind="encoder")
    assert not unused_labels(config_for(), TRUTH, [*UNTRAINED, encoder])
    assert not unused_labels(config_for(), TRUTH[:0], UNTRAINED)
