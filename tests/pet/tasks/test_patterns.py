"""Patterns: what a template means, and what it must not mean."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.errors import Problem
from pet.tasks.patterns import Boundary, FieldSlot, MaskSlot, Pattern, Piece, Words, parse_pattern


def parsed(template: str, *fields: str) -> Pattern:
    pattern, problems = parse_pattern("p", template, fields or ("text",), "t.toml, patterns.p")
    assert problems == []
    assert pattern is not None
    return pattern


def problems_of(template: str, *fields: str) -> list[Problem]:
    pattern, problems = parse_pattern("p", template, fields or ("text",), "t.toml, patterns.p")
    assert pattern is None
    assert all(problem.where == "t.toml, patterns.p" for problem in problems)
    return problems


def test_a_template_becomes_its_pieces_in_order() -> None:
    pattern = parsed("[ topic: {mask} ] {text}")
    words = Words("[ topic: "), Words(" ] ")
    assert pattern.pieces == (words[0], MaskSlot(), words[1], FieldSlot("text"))


def test_whitespace_stays_as_typed() -> None:
    assert parsed("  {text}\n\t{mask}  ").fill({"text": "a"}, "b") == "  a\n\tb  "


def test_doubled_braces_are_braces_and_not_placeholders() -> None:
    pattern = parsed("{{{mask}}} {{text}} {text}")
    assert pattern.fill({"text": "a {mask} b"}, "w") == "{w} {text} a {mask} b"
    assert pattern.pieces[0] == Words("{")


def test_neighbouring_words_are_one_piece_so_that_tokenizers_see_them_whole() -> None:
    assert parsed("a {{b}} | c {mask}{text}").pieces[0] == Words("a {b} | c ")


def test_the_boundary_takes_the_whitespace_around_it() -> None:
    pattern = parsed("{text} ?  ||\n{mask} , b")
    words = Words(" ?"), Words(" , b")
    assert pattern.pieces == (FieldSlot("text"), words[0], Boundary(), MaskSlot(), words[1])
    assert pattern.fill({"text": "a"}, "Yes") == "a ? Yes , b"


def test_the_boundary_leaves_no_empty_words_between_slots() -> None:
    assert parsed("{text} || {mask}").pieces == (FieldSlot("text"), Boundary(), MaskSlot())


def test_fields_are_named_once_in_order_of_first_use() -> None:
    assert parsed("{b} {mask} {a} {b}", "a", "b", "c").fields == ("b", "a")


@pytest.mark.parametrize(
    "template", ["{text} is {mask}", "{text} is {mask} \n", "{text} || {mask}"]
)
def test_a_mask_with_only_whitespace_after_it_is_last(template: str) -> None:
    assert parsed(template).mask_is_last


@pytest.mark.parametrize("template", ["{text} is {mask}.", "{mask}{text}", "{mask} || {text}"])
def test_a_mask_with_anything_after_it_is_not_last(template: str) -> None:
    assert not parsed(template).mask_is_last


def test_filling_never_interprets_the_text_as_a_template() -> None:
    values = {"text": "{0.__class__} {mask} || %s"}
    assert parsed("{text} {mask}").fill(values, "{text}") == f"{values['text']} {{text}}"


def test_filling_without_a_field_raises_rather_than_leaving_a_hole() -> None:
    pattern = parsed("{text} {mask}")
    with pytest.raises(KeyError, match="text"):
        pattern.fill({"body": "a"}, "w")


@pytest.mark.parametrize(
    "placeholder", ["text.__class__", "text!r", "text:10", "text[0]", " text ", "TEXT", "txet"]
)
def test_what_str_format_would_run_is_refused_and_the_field_is_suggested(placeholder: str) -> None:
    (problem,) = problems_of(f"{{{placeholder}}} {{mask}}")
    assert problem.expected == "one of {mask}, {text}"
    assert problem.found == f"{{{placeholder}}}"
    assert problem.fix == "did you mean {text}?"


@pytest.mark.parametrize("placeholder", ["", "0", "zzz", "\n", "a" * 10_000])
def test_a_placeholder_that_is_no_field_is_one_problem(placeholder: str) -> None:
    (problem,) = problems_of(f"{{{placeholder}}} {{mask}}")
    assert problem.found == f"{{{placeholder}}}"
    assert "did you mean" not in problem.fix


@pytest.mark.parametrize("placeholder", ["msk", "MASK", "mask!r", "mask.x"])
def test_a_misspelt_mask_is_one_problem_and_not_also_a_missing_mask(placeholder: str) -> None:
    (problem,) = problems_of(f"{{{placeholder}}} {{text}}")
    assert problem.fix == "did you mean {mask}?"


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{text} is { {mask}", "a lone { at character 11"),
        ("{text} } {mask}", "a lone } at character 8"),
        ("{text} {mask}}", "a lone } at character 14"),
        ("{mask} {text} {", "a lone { at character 15"),
    ],
)
def test_a_lone_brace_is_found_at_its_place(template: str, found: str) -> None:
    (problem,) = problems_of(template)
    assert problem.found == found
    assert "for a brace in the text" in problem.fix


@pytest.mark.parametrize(
    ("template", "found"), [("{text}", "none"), ("{mask}{text}{mask}", "2 of")]
)
def test_a_pattern_has_exactly_one_mask(template: str, found: str) -> None:
    (problem,) = problems_of(template)
    assert problem.expected == "{mask} exactly once"
    assert problem.found.startswith(found)


def test_a_pattern_without_a_field_would_say_the_same_of_every_text() -> None:
    (problem,) = problems_of("This is about {mask}", "body", "head")
    assert "the same of every text" in problem.found
    assert problem.fix == "add {body}, {head}"


@pytest.mark.parametrize("template", ["|| {text} {mask}", "{text} {mask} ||  "])
def test_an_empty_segment_is_refused(template: str) -> None:
    (problem,) = problems_of(template)
    assert problem.found == "an empty segment"


def test_two_boundaries_are_refused() -> None:
    (problem,) = problems_of("{text} || {mask} || b")
    assert problem.expected == "`||` at most once"


def test_three_bars_are_not_silently_a_boundary_and_a_bar() -> None:
    (problem,) = problems_of("{text} ||| {mask}")
    assert problem.found == "|||"


def test_a_field_called_mask_is_refused_because_it_could_never_be_filled() -> None:
    (problem,) = problems_of("{text} {mask}", "text", "mask")
    assert problem.found == "a field named `mask`"


def test_every_problem_of_a_template_comes_at_once() -> None:
    found = [problem.found for problem in problems_of("{0} || {text} } || {mask} {mask}")]
    assert found == ["{0}", "a lone } at character 15", "2 of them", "2 of them"]


def test_allowed_names_are_listed_sorted() -> None:
    assert problems_of("{0} {mask}", "zeta", "body")[0].expected == "one of {body}, {mask}, {zeta}"


def test_without_known_fields_any_plain_name_will_do_but_nothing_else() -> None:
    assert parse_pattern("p", "{any name} {mask}", None, "t")[1] == []
    pattern, (problem,) = parse_pattern("p", "{a.b} {mask}", None, "t")
    assert pattern is None
    assert problem.expected == "{mask} or a field name in braces, nothing else"


def test_patterns_travel_to_other_processes_and_into_sets() -> None:
    pattern = parsed("{text} || {mask}")
    assert pickle.loads(pickle.dumps(pattern)) == pattern
    assert len({pattern, parsed("{text} || {mask}")}) == 1


@given(st.text(alphabet="{}| am:sktex!.0\n", max_size=40))
def test_any_template_gives_a_pattern_or_problems_and_never_an_exception(template: str) -> None:
    pattern, problems = parse_pattern("p", template, ("text",), "t")
    assert (pattern is None) == bool(problems)


PIECES: st.SearchStrategy[Piece] = st.one_of(
    st.builds(Words, st.text(min_size=1)), st.sampled_from([FieldSlot("a"), FieldSlot("b")])
)


@given(st.lists(PIECES), st.lists(PIECES))
def test_words_come_out_exactly_as_they_went_in(before: list[Piece], after: list[Piece]) -> None:
    def escaped(piece: Piece) -> str:
        if isinstance(piece, Words):
            return piece.text.replace("|", "!").replace("{", "{{").replace("}", "}}")
        return f"{{{piece.name}}}" if isinstance(piece, FieldSlot) else "{mask}"

    pieces = [FieldSlot("a"), *before, MaskSlot(), *after]
    plain = {"a": "1", "b": "2"}
    expected = "".join(
        piece.text.replace("|", "!")
        if isinstance(piece, Words)
        else plain[piece.name]
        if isinstance(piece, FieldSlot)
        else "w"
        for piece in pieces
    )
    template = "".join(escaped(piece) for piece in pieces)
    assert parsed(template, "a", "b").fill(plain, "w") == expected
