"""A review by several people: what is next, undo, disagreement, and what `--answers` takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pet.errors import InputError, LockedError
from pet.reviewing.annotations import read_annotations
from pet.reviewing.review_session import (
    Progress,
    Reviewer,
    answers_path,
    log_path,
    open_review,
)
from pet.tasks.task import load_task
from tests.support import samples
from tests.support.reviews import session_of, write_texts

ANN, BEN = Reviewer("Ann"), Reviewer("Ben")
CLEO = Reviewer("Cleo", settles=True)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "r.jsonl", ["one", "two", "three", "four"])


def give(path: Path, *answers: tuple[Reviewer, int, str]) -> None:
    session = session_of(path)
    for reviewer, place, label in answers:
        session.answer(reviewer, place, label, suggestion_shown=False)


def final(path: Path) -> list[str]:
    session_of(path).write_answers(answers_path(path))
    return [own.label for own in read_annotations(answers_path(path), ("text",))]


def test_the_next_row_is_the_first_open_one_behind_and_then_from_the_start(rows: Path) -> None:
    give(rows, (ANN, 1, "space"), (ANN, 2, ""))
    session = session_of(rows)
    assert session.next_row(ANN, after=0) == 3
    assert session.next_row(ANN, after=3) == 0
    assert session.next_passed_over(ANN) == 2
    assert session.next_passed_over(ANN, after=2) is None
    assert session.progress(ANN) == Progress(labeled=1, passed_over=1, rows=4)
    assert session.next_row(BEN) == 0


def test_undo_gives_back_what_was_there_before_after_a_restart_too(rows: Path) -> None:
    give(rows, (ANN, 0, "sport"), (ANN, 0, "space"), (ANN, 1, "business"))
    assert session_of(rows).undo(ANN) == 1
    assert session_of(rows).undo(ANN) == 0
    session = session_of(rows)
    given = session.given(ANN, 0)
    assert given is not None
    assert given.label == "sport"
    assert session.given(ANN, 1) is None
    assert session.undo(ANN) == 0
    assert session.undo(ANN) is None
    assert session_of(rows).people() == []


def test_nobody_takes_back_what_another_has_answered(rows: Path) -> None:
    give(rows, (ANN, 0, "sport"), (BEN, 1, "space"))
    session = session_of(rows)
    assert session.undo(BEN) == 1
    assert session.undo(BEN) is None
    assert session.given(ANN, 0) is not None


def test_a_row_has_an_answer_where_people_agree_or_somebody_settled(rows: Path) -> None:
    both = [(ANN, 0, "sport"), (BEN, 0, "sport"), (ANN, 1, "sport"), (BEN, 1, "space")]
    give(rows, *both, (ANN, 2, "space"), (BEN, 2, ""))
    assert session_of(rows).unsettled() == 1
    assert final(rows) == ["sport", "", "space", ""]
    session = session_of(rows)
    assert session.next_row(CLEO) == 1
    session.answer(CLEO, 1, "business", suggestion_shown=False)
    assert session.next_row(CLEO) is None
    assert final(rows) == ["sport", "business", "space", ""]
    session_of(rows).undo(BEN)
    session_of(rows).undo(BEN)
    assert final(rows) == ["sport", "sport", "space", ""], "nobody disagrees any more"


def test_answers_name_who_gave_them_and_show_the_texts(rows: Path) -> None:
    give(rows, (ANN, 0, "sport"), (BEN, 0, "sport"))
    assert session_of(rows).write_answers(answers_path(rows)) == 1
    first, *_ = read_annotations(answers_path(rows), ("text",))
    assert (first.annotator, first.texts) == ("Ann, Ben", {"text": "one"})
    assert first.date > "2020"


def test_whether_the_prediction_was_seen_is_kept(rows: Path) -> None:
    session = session_of(rows)
    session.answer(ANN, 0, "sport", suggestion_shown=True)
    session.answer(ANN, 1, "sport", suggestion_shown=False)
    lines = list(map(json.loads, log_path(rows).read_text().splitlines()))[1:]
    assert [line.get("suggestion_shown", False) for line in lines] == [True, False]


@pytest.mark.parametrize(
    ("reviewer", "place", "label"),
    [
        (ANN, 0, "other"),
        (ANN, 4, "sport"),
        (ANN, -1, "sport"),
        (Reviewer(""), 0, "sport"),
        (Reviewer(" "), 0, "sport"),
        (Reviewer("a\nb"), 0, "sport"),
        (Reviewer("\u202eAnn"), 0, "sport"),
        (Reviewer("x" * 81), 0, "sport"),
    ],
)
def test_an_answer_that_cannot_be_taken_leaves_no_trace(
    rows: Path, reviewer: Reviewer, place: int, label: str
) -> None:
    session = session_of(rows)
    before = log_path(rows).read_bytes()
    with pytest.raises(InputError):
        session.answer(reviewer, place, label, suggestion_shown=False)
    assert log_path(rows).read_bytes() == before
    assert session.people() == []


def test_labels_that_the_task_has_no_more_are_named(rows: Path) -> None:
    give(rows, (ANN, 0, "business"))
    with pytest.raises(InputError, match="others: 'business'"):
        session_of(rows, labels=("sport", "space"))


def test_a_second_page_for_the_same_rows_is_refused(rows: Path, tmp_path: Path) -> None:
    task_file = tmp_path / "task.toml"
    task_file.write_text(samples.task_toml())
    task = load_task(task_file)
    with (
        open_review(rows, task),
        pytest.raises(LockedError, match="that no other process has open"),
        open_review(rows, task),
    ):
        pass
    with open_review(rows, task) as session:
        assert len(session.rows) == 4


def test_answers_that_another_tool_has_written_are_not_overwritten(
    rows: Path, tmp_path: Path
) -> None:
    (tmp_path / "task.toml").write_text(samples.task_toml())
    answers_path(rows).write_text("mine")
    task = load_task(tmp_path / "task.toml")
    with pytest.raises(InputError, match="a name that is free"), open_review(rows, task):
        pass
    assert answers_path(rows).read_text() == "mine"


def test_sets_of_labels_agree_as_a_whole_and_come_out_as_lists(tmp_path: Path) -> None:
    path = write_texts(tmp_path / "r.jsonl", ["one", "two", "three"], several=True)
    session = session_of(path, several=True)
    both, none = '["sport", "space"]', "[]"
    for reviewer, place, label in ((ANN, 0, both), (BEN, 0, both), (ANN, 1, none), (BEN, 1, both)):
        session.answer(reviewer, place, label, suggestion_shown=False)
    with pytest.raises(InputError, match="one of the labels"):
        session.answer(ANN, 2, '["space", "sport"]', suggestion_shown=False)
    session = session_of(path, several=True)
    assert session.contested() == [1]
    session.answer(CLEO, 1, none, suggestion_shown=False)
    session.write_answers(answers_path(path))
    lines = list(map(json.loads, answers_path(path).read_text().splitlines()))
    assert [line["answer"] for line in lines] == [["sport", "space"], [], ""]
    given = read_annotations(answers_path(path), ("text",), form=session.form)
    assert [own.label for own in given] == [both, none, ""]
