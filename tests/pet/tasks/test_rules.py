"""Rules: what they find, what is refused, and that no expression takes longer than it may."""

from __future__ import annotations

import time

import pytest

from pet.errors import InputError
from pet.tasks import rules
from pet.tasks.rules import Rule, expression_problem
from pet.tasks.task import parse_task
from tests.support.samples import TICKETS

ENDLESS = "(?:(?:a|aa)+)+$"


def fired(rule: Rule, *texts: str) -> list[bool]:
    return rule.fires({"text": list(texts)}).tolist()


def with_rules(*tables: str) -> str:
    return TICKETS + "".join(f"\n[[rules]]\n{table}\n" for table in tables)


def test_keywords_are_whole_words_in_whatever_case_and_blanks() -> None:
    rule = Rule("r", "a", ("refund", "charged twice", "c++"))
    texts = "a REFUND!", "Charged \n twice.", "refunds", "charged", "C++ it is", "c+"
    assert fired(rule, *texts) == [True, True, False, False, True, False]


def test_a_keyword_of_a_language_without_blanks_is_found_within_a_line() -> None:
    assert fired(Rule("r", "a", ("价格", "カード")), "这价格很高", "新しいカードです", "价") == [
        True,
        True,
        False,
    ]


def test_a_keyword_is_found_however_its_accent_is_encoded() -> None:
    assert fired(Rule("r", "a", ("café",)), "the cafe\u0301 there") == [True]


def test_a_rule_with_a_field_passes_over_the_others() -> None:
    columns = {"subject": ["refund", ""], "message": ["", "refund"]}
    assert Rule("r", "a", ("refund",), field="message").fires(columns).tolist() == [False, True]
    assert Rule("r", "a", ("refund",)).fires(columns).tolist() == [True, True]


def test_an_expression_without_an_end_is_refused_with_its_row_and_in_time() -> None:
    started = time.thread_time()
    with pytest.raises(InputError, match="id 'seven'") as caught:
        Rule("slow", "a", regex=ENDLESS).fires({"text": ["b", "a" * 80 + "b"]}, ["six", "seven"])
    assert caught.value.problems[0].where == "rule slow"
    assert time.thread_time() - started < 3


def test_a_rule_that_is_slow_on_every_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "PER_TEXT", 0.001)
    monkeypatch.setattr(rules, "ON_AVERAGE", 0.0)
    with pytest.raises(InputError, match="seconds for"):
        Rule("slow", "a", ("goal",)).fires({"text": ["some words " * 100] * 2000})


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("(a", "missing )"),
        ("a" * 1001, "1,001 characters"),
        (".*", "empty text"),
    ],
)
def test_an_expression_that_is_none_says_why(expression: str, found: str) -> None:
    assert found in expression_problem(expression)


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ('label = "biling"\nregex = "a"', "rules.1"),
        ('label = ["billing"]\nregex = "a"', "rules.1"),
        ('regex = "a"', "rules.1"),
        ('label = "billing"', "rules.1"),
        ('label = "billing"\nregex = "a"\nkeywords = ["b"]', "rules.1"),
        ('label = "billing"\nregex = ""', "rules.1.regex"),
        ('label = "billing"\nregex = 5', "rules.1.regex"),
        ('label = "billing"\nregex = "[a"', "rules.1.regex"),
        ('label = "billing"\nkeywords = []', "rules.1.keywords"),
        ('label = "billing"\nkeywords = [5]', "rules.1.keywords"),
        ('label = "billing"\nkeywords = ["a", "a"]', "rules.1.keywords"),
        ('label = "billing"\nregex = "a"\nfield = "body"', "rules.1"),
        ('label = "billing"\nregex = "a"\nkeyword = "b"', "rules.1"),
        ('name = "../a"\nlabel = "billing"\nregex = "a"', "rules.1"),
        ('name = 5\nlabel = "billing"\nregex = "a"', "rules.1"),
    ],
)
def test_what_is_wrong_with_a_rule_is_found_at_its_place(table: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_task(with_rules(table), "t.toml")
    assert [problem.where for problem in caught.value.problems] == [f"t.toml, {place}"]


def test_two_rules_of_one_name_are_refused_whatever_its_case() -> None:
    own = (
        'name = "Money"\nlabel = "billing"\nregex = "a"',
        'name = "money"\nlabel = "billing"\nregex = "b"',
    )
    with pytest.raises(InputError, match=r"'money' again, after rules\.1"):
        parse_task(with_rules(*own), "t.toml")


@pytest.mark.parametrize("value", ["rules = 5\n", "rules = [1]\n"])
def test_rules_written_as_something_else_are_one_problem(value: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_task(value + TICKETS, "t.toml")
    assert [problem.where for problem in caught.value.problems] == ["t.toml, rules"]


def test_a_rule_without_a_name_is_called_by_its_place() -> None:
    task = parse_task(
        with_rules('label = "billing"\nregex = "a"', 'label = "billing"\nregex = "b"'), "t"
    )
    assert [rule.name for rule in task.rules] == ["rule-1", "rule-2"]
