"""Answers as one text: equal ones are equal, and what is no answer is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pet.reviewing.answer_form import NONE, AnswerForm, NotAnAnswer, has_labels

LABELS = ("sport", "art; music", "news")
ONE, SETS = AnswerForm(LABELS), AnswerForm(LABELS, several=True)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (["news", "sport"], '["sport", "news"]'),
        ('["news", "sport", "news"]', '["sport", "news"]'),
        ({"choices": ["news"]}, '["news"]'),
        ("news", '["news"]'),
        ([], "[]"),
        ("[]", "[]"),
        ("", ""),
        (None, ""),
        ([""], ""),
    ],
)
def test_labels_in_whatever_order_and_form_are_one_answer(value: Any, written: str) -> None:
    assert SETS.read(value) == written
    assert SETS.is_written(written)


def test_a_separator_cuts_a_text_but_no_label() -> None:
    form = AnswerForm(LABELS, several=True, separator=";")
    assert form.read("news; sport") == '["sport", "news"]'
    assert form.read("art; music") == '["art; music"]'
    assert form.read(" ; ") == ""


@pytest.mark.parametrize("value", ["[sport]", [["sport"]], [{"a": 1}], "['sport']"])
def test_what_is_no_list_of_labels_is_refused(value: Any) -> None:
    with pytest.raises(NotAnAnswer):
        SETS.read(value)


def test_where_a_text_has_one_label_a_list_of_two_is_refused() -> None:
    assert ONE.read(["news"]) == "news"
    with pytest.raises(NotAnAnswer, match="2 labels"):
        ONE.read(["news", "sport"])


@pytest.mark.parametrize("answer", ['["sport","news"]', '["news", "sport"]', '["x"]', "sport", "{"])
def test_other_writings_are_none_of_ours(answer: str) -> None:
    assert not SETS.is_written(answer)


def test_people_read_names() -> None:
    assert SETS.shown('["sport", "news"]') == "sport, news"
    assert (SETS.shown("[]"), SETS.shown(""), ONE.shown("news")) == (NONE, "", "news")
    assert (SETS.value("[]"), SETS.value(""), ONE.value("news")) == ([], "", "news")
    assert SETS.unknown('["x", "news"]') == ["x"]


def test_answers_without_a_label_or_with_others_have_none_of_the_tasks() -> None:
    found = has_labels(["news", None, "", "x"], ONE)
    assert found.tolist() == [[False, False, True], *[[False] * 3] * 3]
    found = has_labels(['["news", "sport"]', None, "[]", '["x"]'], SETS)
    assert found.tolist() == [[True, False, True], *[[False] * 3] * 3]
