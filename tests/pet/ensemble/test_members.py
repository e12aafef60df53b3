"""Members: who they are, their files, and their scores aligned by row id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pet.ensemble.lineup import generations_of, has_few_labels
from pet.ensemble.logits import logits_table, read_logits, stored_fingerprint
from pet.ensemble.members import Member, folder_of, parse_member, untrained_members
from pet.ensemble.predictions import stacked_logits
from pet.ensemble.weights import zero_shot_accuracy
from pet.errors import PetError
from pet.inputs.reading import open_session
from pet.inputs.session import Session
from pet.storage.files import read_json, write_parquet
from pet.storage.units import DONE
from tests.support import samples
from tests.support.lineups import planned

Configure = Callable[..., Any]


@pytest.fixture
def finished_session(run_copy: Path, config_for: Configure) -> Session:
    """The inputs of a copy of the finished run."""
    return open_session(config_for(out=run_copy, **samples.SHIPPED))


def test_members_are_named_by_generation_pattern_and_repetition(config_for: Configure) -> None:
    session = open_session(config_for(repetitions=2))
    assert [member.name for member in planned(session).first] == [
        "g0-category-r0",
        "g0-category-r1",
        "g0-bracket-r0",
        "g0-bracket-r1",
        "g0-last-r0",
        "g0-last-r1",
    ]
    assert [member.name for member in untrained_members(session.task)] == [
        "untrained-category",
        "untrained-bracket",
        "untrained-last",
    ]


@pytest.mark.parametrize(
    "member",
    [
        Member("a-b", 2, 10),
        Member("topic", generation=None),
        Member("", 0, 3, "encoder"),
        Member("encoder-g1", 0, 0),
    ],
)
def test_a_members_name_says_who_it_is(member: Member) -> None:
    """`--with ensemble` finds the members again by their names alone."""
    assert parse_member(member.name) == member


def test_a_members_folder_holds_safetensors_and_its_losses(tiny_run: Path) -> None:
    for name in samples.PATTERNS:
        folder = tiny_run / "members" / f"g0-{name}-r0"
        assert (folder / "model.safetensors").is_file()
        assert not list(folder.glob("*.bin"))
        record = read_json(folder / DONE)
        assert len(record["losses"]) == 2
        assert "model.safetensors" in record["files"]


def test_a_members_scores_are_of_every_usable_pool_row_in_order(tiny_run: Path) -> None:
    usable = [
        f"pool.parquet:{row}"
        for row, text in enumerate(samples.pool_texts())
        if (text or "").strip()
    ]
    for name in samples.PATTERNS:
        logits = tiny_run / "members" / f"g0-{name}-r0" / "logits"
        ids = [id for path in sorted(logits.glob("part-*")) for id in read_logits(path)[0]]
        assert ids == usable
        assert read_logits(logits / "labeled.parquet")[1].shape == (12, 3)
        assert read_logits(logits / "test.parquet")[1].shape == (9, 3)


def test_zero_shot_accuracy_is_measured_on_the_labeled_set(finished_session: Session) -> None:
    truth = finished_session.labeled.labels
    path = finished_session.folder / "members" / "untrained-last" / "logits" / "labeled.parquet"
    expected = float((read_logits(path)[1].argmax(1) == truth).mean())
    assert zero_shot_accuracy(finished_session, "last") == pytest.approx(expected, abs=1e-4)


def test_members_are_stacked_in_their_order(finished_session: Session) -> None:
    members = planned(finished_session).first
    _, stack = stacked_logits(finished_session, members, "test.parquet")
    assert stack.shape == (3, 9, 3)
    _, backwards = stacked_logits(finished_session, members[::-1], "test.parquet")
    assert np.array_equal(stack[::-1], backwards)


@pytest.mark.parametrize("which", [0, 2])
def test_a_members_missing_scores_are_an_error_and_no_smaller_ensemble(
    finished_session: Session, which: int
) -> None:
    members = planned(finished_session).first
    folder = finished_session.folder / "members" / members[which].name / "logits"
    (folder / "part-00001.parquet").unlink()
    name = members[which].name
    with pytest.raises(PetError, match=f"expected: scores of member {name}\n  found:    none"):
        stacked_logits(finished_session, members, "part-00001.parquet")


def test_scores_of_other_rows_are_an_error(finished_session: Session) -> None:
    """Rows that are aligned by position alone would give every text its neighbour's label."""
    members = planned(finished_session).first
    path = finished_session.folder / "members" / members[1].name / "logits" / "test.parquet"
    ids, logits = read_logits(path)
    write_parquet(path, logits_table(ids[::-1], logits), {})
    name = members[1].name
    problem = f"the same rows of every member\n  found:    others of member {name}"
    with pytest.raises(PetError, match=problem):
        stacked_logits(finished_session, members, "test.parquet")


def test_scores_survive_their_file(tmp_path: Path) -> None:
    logits = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
    write_parquet(tmp_path / "a.parquet", logits_table(list("wxyz"), logits), {"fingerprint": "f"})
    ids, found = read_logits(tmp_path / "a.parquet")
    assert ids == list("wxyz")
    assert np.array_equal(found, logits)
    assert stored_fingerprint(tmp_path / "a.parquet") == "f"
    assert pq.read_schema(tmp_path / "a.parquet").names == ["id", "scores"]


def test_a_file_that_is_cut_off_or_missing_has_no_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    assert stored_fingerprint(path) is None
    write_parquet(path, logits_table(["x"], np.zeros((1, 3), np.float32)), {"fingerprint": "f"})
    path.write_bytes(path.read_bytes()[:-5])
    assert stored_fingerprint(path) is None


def test_the_papers_way_to_count_generations_has_the_limit_of_the_setting(
    config_for: Configure,
) -> None:
    """By a factor of 1.05 there would be a hundred of them, each of a night."""
    session = open_session(config_for(generations="paper", growth_factor=1.05))
    assert generations_of(session.config, session.task, session.labeled, 10**6) == 10


@pytest.mark.parametrize(
    ("right", "rows", "trained"),
    [(True, 12, False), (False, 12, True)],
    ids=["they know the labels", "they do not"],
)
def test_few_labeled_rows_are_trained_on_where_untrained_patterns_know_nothing(
    run_copy: Path, config_for: Configure, right: bool, rows: int, trained: bool
) -> None:
    """Half of the rows are of one label, the patterns are right about a sixth: so it began."""
    session = open_session(config_for(out=run_copy, **samples.SHIPPED, train_from=100))
    truth = np.eye(3)[session.labeled.labels][:rows]
    said = logits_table(session.labeled.ids[:rows], truth if right else 1 - truth)
    for member in untrained_members(session.task):
        write_parquet(folder_of(session.folder, member) / "logits" / "labeled.parquet", said, {})
    assert planned(session).trains_at_once is trained
    assert {member.generation for member in planned(session).generations[0]} == {
        0 if trained else None
    }


@pytest.mark.parametrize(("rows", "few"), [(79, True), (80, False)])
def test_many_labels_do_not_make_many_rows_few(
    config_for: Configure, tmp_path: Path, rows: int, few: bool
) -> None:
    some = samples.labeled_rows()
    own = [(f"{some[n % 12][0]} {n}", some[n % 12][1]) for n in range(rows)]
    labeled = samples.write_csv(tmp_path / "many.csv", own, ("text", "label"))
    inputs = open_session(config_for(labeled=str(labeled), train_from=50)).inputs
    assert has_few_labels(inputs.config, inputs.task, inputs.labeled) is few


def test_rows_of_one_label_alone_are_not_trained_on_at_once(
    config_for: Configure, tmp_path: Path
) -> None:
    """The commonest label is right about all of them; such members gave the whole pool to it."""
    rows = [row for row in samples.labeled_rows() if row[1] == "sport"] * 8
    own = [(f"{text} {number}", label) for number, (text, label) in enumerate(rows)]
    labeled = samples.write_csv(tmp_path / "one.csv", own, ("text", "label"))
    session = open_session(config_for(labeled=str(labeled), train_from=8))
    said = logits_table(session.labeled.ids, np.eye(3)[np.arange(len(own)) % 3])
    for member in untrained_members(session.task):
        path = folder_of(session.folder, member) / "logits" / "labeled.parquet"
        path.parent.mkdir(parents=True)
        write_parquet(path, said, {})
    assert not planned(session).trains_at_once
    assert planned(open_session(config_for(labeled=str(labeled), train_from=0))).trains_at_once


def test_an_untrained_member_has_no_generation() -> None:
    assert Member("last", generation=None).name == "untrained-last"
