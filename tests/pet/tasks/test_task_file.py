"""Task files: every way in which one can be wrong, and what is said of it."""

from __future__ import annotations

import pytest

from pet.errors import InputError, Problem
from pet.tasks.task import load_task, parse_task
from tests.support import samples
from tests.support.samples import TICKETS


def good(old: str = "", new: str = "") -> str:
    """Return the good file, with one thing in it replaced."""
    assert TICKETS.count(old) == 1 or not old
    return TICKETS.replace(old, new) if old else TICKETS


def problems_of(toml_text: str) -> list[Problem]:
    with pytest.raises(InputError, match="expected:") as caught:
        parse_task(toml_text, "t.toml")
    assert all(problem.where.startswith("t.toml") for problem in caught.value.problems)
    return caught.value.problems


def only_problem_of(toml_text: str) -> Problem:
    (problem,) = problems_of(toml_text)
    return problem


def test_labels_keep_their_order_under_every_pattern_so_that_columns_mean_the_same() -> None:
    own = '[verbalizers.about]\n"Log-in / access" = "code"\nbilling = "money"\n'
    task = parse_task(good('[verbalizers.about]\nbilling = "money"\n', own), "t.toml")
    assert all(tuple(task.verbalizer(name)) == task.labels for name in ("topic", "about"))


def test_seven_planted_problems_are_reported_together() -> None:
    found = problems_of("""
name = "../escape"
fields = ["text", "mask"]
colour = "red"

[labels]
good = "fine"
bad = "Fine "

[patterns]
broken = "{txt} {mask} {mask}"

[verbalizers.brokn]
good = "nice"
""")
    wheres = [problem.where for problem in found]
    assert wheres == [
        "t.toml",
        "t.toml, name",
        "t.toml, fields",
        "t.toml, patterns.broken",
        "t.toml, patterns.broken",
        "t.toml, verbalizers.brokn",
        "t.toml, labels",
    ]


@pytest.mark.parametrize("key", ["name", "fields", "labels", "patterns"])
def test_a_missing_part_is_named_and_the_other_parts_are_still_checked(key: str) -> None:
    parts = {
        "name": 'name = "t"\n',
        "fields": 'fields = ["text"]\n',
        "labels": '[labels]\na = "x"\nb = "y"\n',
        "patterns": '[patterns]\np = "{text} {mask} {mask}"\n',
    }
    found = problems_of("".join(part for name, part in parts.items() if name != key))
    assert (f"t.toml, {key}", "nothing") in [(each.where, each.found) for each in found]
    masks = [problem for problem in found if problem.where == "t.toml, patterns.p"]
    assert len(masks) == (key != "patterns")
    assert len(found) == 1 + len(masks)


@pytest.mark.parametrize(
    ("toml_text", "place"),
    [
        (good('"tickets"', "5"), "name"),
        (good('"tickets"', '["tickets"]'), "name"),
        (good('"Who answers?"', "true"), "description"),
        (good('"ours"', "1979-05-27"), "source"),
        (good('["subject", "message"]', '"subject"'), "fields"),
        (good('["subject", "message"]', '["subject", "message", 5]'), "fields"),
        (good('["subject", "message"]', '["subject", "message", ""]'), "fields"),
        (good('["subject", "message"]', '["subject", "message", "a{b"]'), "fields"),
        (good('["subject", "message"]', '["subject", "message", "a\\u0000"]'), "fields"),
        (good('["subject", "message"]', '["subject", "message", " a"]'), "fields"),
        (good('["subject", "message"]', '["subject", "message", "subject"]'), "fields"),
        (good('["subject", "message"]', '["subject", "message", "mask"]'), "fields"),
        (good('"password"', "5"), "labels.Log-in / access"),
        (good('"password"', "[]"), "labels.Log-in / access"),
        (good('"password"', '""'), "labels.Log-in / access"),
        (good('"password"', '" \\n "'), "labels.Log-in / access"),
        (good('"password"', '["password", 1.5]'), "labels.Log-in / access"),
        (good('"password"', '["password", "password "]'), "labels.Log-in / access"),
        (good('"password"', '["password", "a\\u0007b"]'), "labels.Log-in / access"),
        (good('"Log-in / access"', '""'), "labels"),
        (good('"Log-in / access"', '"a\\nb"'), "labels"),
        (good('"Log-in / access" = "password"', ""), "labels"),
        (good('"{message} This is about {mask}"', "[1]"), "patterns.about"),
        (good('"{message} This is about {mask}"', '""'), "patterns.about"),
        (good('topic = "', '"../topic" = "'), "patterns"),
        (good('topic = "', '"" = "'), "patterns"),
        (good('topic = "', '"topic\\n" = "'), "patterns"),
        (good('topic = "', 'About = "'), "patterns"),
        (good('billing = "money"', 'biling = "money"'), "verbalizers.about"),
        (good('billing = "money"', "billing = 5"), "verbalizers.about.billing"),
        (good('billing = "money"', 'billing = "PASSWORD"'), "verbalizers.about"),
        (good("[verbalizers.about]", "[verbalizers.abut]"), "verbalizers.abut"),
        (good("[verbalizers.about]", "[verbalizers]"), "verbalizers.billing"),
    ],
)
def test_what_is_wrong_is_found_at_its_place(toml_text: str, place: str) -> None:
    assert place in [problem.where.removeprefix("t.toml, ") for problem in problems_of(toml_text)]


@pytest.mark.parametrize("key", ["labels", "patterns", "verbalizers"])
def test_a_table_written_as_something_else_is_one_problem_of_that_table(key: str) -> None:
    tables = {
        "labels": '[labels]\na = "x"\nb = "y"\n',
        "patterns": '[patterns]\np = "{text} {mask}"\n',
        "verbalizers": '[verbalizers.p]\na = "z"\n',
    }
    kept = "".join(table for name, table in tables.items() if name != key)
    problem = only_problem_of(f'name = "t"\nfields = ["text"]\n{key} = ["a"]\n{kept}')
    assert (problem.where, problem.found) == (f"t.toml, {key}", "a list")


@pytest.mark.parametrize("name", ["..", "a/b", "a\\\\b", "-a", ".a", "a b", "é", "a" * 65, "a\\n"])
def test_no_name_can_escape_its_folder(name: str) -> None:
    assert only_problem_of(good('"tickets"', f'"{name}"')).where == "t.toml, name"


def test_an_unknown_key_is_named_with_the_one_that_was_meant() -> None:
    problem = only_problem_of(good("description =", "desciption ="))
    assert problem.found == "`desciption`"
    assert problem.fix == "did you mean `description`?"


def test_a_label_with_a_dot_must_be_quoted() -> None:
    problem = only_problem_of(good('"Log-in / access" =', "log.in ="))
    assert (problem.where, problem.found) == ("t.toml, labels.log", "a table")
    assert "in quotes" in problem.fix


def test_a_word_under_two_labels_is_reported_once_however_many_patterns_use_it() -> None:
    problem = only_problem_of(good('"password"', '"Payment"').split("[verbalizers")[0])
    assert problem.where == "t.toml, labels"
    assert problem.found == "'payment' under Log-in / access, billing"


def test_words_that_clash_only_before_the_patterns_own_words_are_put_in_are_fine() -> None:
    text = good('"password"', '"payment"').replace("topic = ", "about2 = ")
    text = text.replace('"[ topic: {mask} ] {subject} {message}"', '"{message} {mask}"')
    task = parse_task(f'{text}\n[verbalizers.about2]\nbilling = "money"\n', "t.toml")
    assert task.verbalizer("about2")["billing"] == ("money",)


def test_words_of_one_label_may_differ_in_case_for_models_that_see_case() -> None:
    task = parse_task(good('"password"', '["password", "Password"]'), "t.toml")
    assert task.verbalizer("topic")["Log-in / access"] == ("password", "Password")


def test_patterns_are_not_blamed_for_a_broken_list_of_fields() -> None:
    assert only_problem_of(good('["subject", "message"]', "5")).where == "t.toml, fields"


def test_names_that_are_one_folder_on_some_disks_are_refused() -> None:
    problem = only_problem_of(good('topic = "', 'About = "'))
    assert problem.found == "'About' and 'about'"


@pytest.mark.parametrize(
    ("toml_text", "place"),
    [
        ('name = "t"\nfields = [text]\n', "line 2, column 11"),
        ('name = "t"\nname = "u"\n', "line 2, column 11"),
        ('name = "t', "line 1, column 10"),
        ('name = "t"\n[labels\n', "line 2, column 8"),
    ],
)
def test_a_syntax_error_comes_alone_with_its_place(toml_text: str, place: str) -> None:
    problem = only_problem_of(toml_text)
    assert problem.where == f"t.toml, {place}"
    assert "(at" not in problem.found or place.startswith("line 1")


def test_absurd_nesting_is_an_error_and_not_a_crash() -> None:
    assert only_problem_of("a = " + "[" * 100_000).expected == "TOML"


@pytest.mark.parametrize("toml_text", ["", " \n\t\n"])
def test_an_empty_file_says_so(toml_text: str) -> None:
    assert only_problem_of(toml_text).found == "an empty file"


@pytest.mark.parametrize(
    "toml_text", ["".join(f"k{n} = 1\n" for n in range(100_000)), "a = '" + "x" * (1 << 21) + "'"]
)
def test_a_file_of_too_many_keys_is_refused_before_it_is_parsed(
    monkeypatch: pytest.MonkeyPatch, toml_text: str
) -> None:
    """Each key would be held against every known one: minutes."""
    monkeypatch.setattr("tomllib.loads", lambda text: pytest.fail("parsed"))
    assert only_problem_of(toml_text).fix == "is it a task file?"


def test_a_task_of_a_thousand_labels_is_a_task() -> None:
    labels = "".join(f'label{n} = "word{n}"\n' for n in range(1000))
    task = parse_task(TICKETS.replace("[labels]\n", f"[labels]\n{labels}"), "t.toml")
    assert len(task.labels) > 1000


def test_a_task_file_without_an_end_is_refused() -> None:
    with pytest.raises(InputError, match="a task of at most 20,000 keys"):
        load_task("/dev/zero")


PRIOR = '\n[prior]\nbilling = 0.7\n"Log-in / access" = 0.3\n'


@pytest.mark.parametrize(
    ("table", "place"),
    [
        (PRIOR.replace("0.3", "0.2"), "prior"),
        (PRIOR.replace("billing = 0.7\n", ""), "prior"),
        (PRIOR.replace("billing", "biling"), "prior.biling"),
        (PRIOR.replace("0.7", "70"), "prior.billing"),
        (PRIOR.replace("0.7", "0"), "prior.billing"),
        (PRIOR.replace("0.7", "nan"), "prior.billing"),
        (PRIOR.replace("0.7", "true"), "prior.billing"),
        (PRIOR.replace("0.7", '"70 %"'), "prior.billing"),
    ],
)
def test_shares_that_are_none_are_found_at_their_place(table: str, place: str) -> None:
    assert place in [own.where.removeprefix("t.toml, ") for own in problems_of(TICKETS + table)]


def test_shares_are_in_the_order_of_the_labels_and_sum_to_one_after_rounding() -> None:
    swapped = '\n[prior]\n"Log-in / access" = 0.333\nbilling = 0.666\n'
    shares = parse_task(TICKETS + swapped, "t.toml").shares
    assert shares == pytest.approx((2 / 3, 1 / 3))
    assert sum(shares) == pytest.approx(1, abs=1e-12)
    assert parse_task(TICKETS, "t.toml").shares is None


def test_a_text_has_one_label_where_nothing_is_said() -> None:
    assert parse_task(samples.task_toml(), "task.toml").labels_per_text == "one"
    several = parse_task(samples.several_toml('labels_separated_by = ";"\n'), "task.toml")
    assert several.several
    assert several.labels_separated_by == ";"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("labels_per_text = 2", '"one" or "any"'),
        ('labels_separated_by = ";"', 'labels_per_text = "any"'),
        ('labels_per_text = "any"\nlabels_separated_by = ""', "a text such as"),
        ('labels_per_text = "any"\nlabels_separated_by = "p"', "a text that no label has"),
        ('labels_per_text = "any"\nprior = {}', "a share for every label"),
    ],
)
def test_a_slip_in_how_many_labels_a_text_has_is_refused(line: str, expected: str) -> None:
    toml = samples.task_toml().replace("fields =", f"{line}\nfields =")
    with pytest.raises(InputError) as caught:
        parse_task(toml, "task.toml")
    assert expected in str(caught.value)


SUGGESTED = """
[suggested_words]
billing = ["refund", "money"]

[words_from]
rows = ["0123456789abcdef"]
"""


def test_suggested_words_stand_beside_own_ones_under_every_pattern() -> None:
    task = parse_task(TICKETS + SUGGESTED, "t.toml")
    assert task.verbalizer("topic")["billing"] == ("payment", "invoice", "refund", "money")
    assert task.verbalizer("about")["billing"] == ("money", "refund")
    for name in ("topic", "about"):
        assert task.verbalizer(name)["Log-in / access"] == ("password",)
    assert task.own_words["topic"]["billing"] == ("payment", "invoice")
    assert task.own_words["about"]["billing"] == ("money",)
    assert task.words_from == ("0123456789abcdef",)


def test_a_task_without_suggestions_has_only_own_words() -> None:
    task = parse_task(TICKETS, "t.toml")
    assert task.words == task.own_words
    assert not len(task.rows_of_words({"subject": ["a"], "message": ["b"]}))


def test_suggested_words_of_a_task_of_several_labels_are_refused() -> None:
    problem = only_problem_of(samples.several_toml() + SUGGESTED.replace("billing", "sport"))
    assert problem.where == "t.toml, suggested_words"
    assert "one label a text" in problem.expected


def test_shares_of_several_labels_need_not_sum_to_one() -> None:
    shares = "\n[prior]\nsport = 0.3\nspace = 0.9\nbusiness = 0.05\n"
    assert parse_task(samples.several_toml() + shares, "t").shares == (0.3, 0.9, 0.05)
    with pytest.raises(InputError, match="shares that sum to 1"):
        parse_task(samples.task_toml() + shares, "t")
