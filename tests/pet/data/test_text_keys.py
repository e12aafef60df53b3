"""Texts that are the same to a reader, and texts that show nothing."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pet.data.text_keys import VISIBLE, row_keys, text_key

SAME = {
    "a trailing blank": ("The team won", "The team won  "),
    "case": ("The team won", "the TEAM won"),
    "line ends": ("one\ntwo", "one\r\ntwo\r\n"),
    "composed and decomposed letters": ("caf\u00e9 am See", "cafe\u0301 am See"),
    "a no-break space": ("The team won", "The\u00a0team\u202fwon"),
    "a byte order mark and a zero-width space": ("The team won", "\ufeffThe team\u200b won"),
    "a soft hyphen": ("Fussballverein", "Fussball\u00adverein"),
    "sharp s and case": ("STRASSE", "stra\u00dfe"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME.keys())
def test_texts_that_read_the_same_have_one_key(pair: tuple[str, str]) -> None:
    one, other = map(text_key, pair)
    assert one == other
    assert text_key(one) == one


def test_texts_that_read_otherwise_have_keys_of_their_own() -> None:
    texts = ["the team won", "the team won!", "theteam won", "th\u00e9 team won", "", "1", "10"]
    assert len({text_key(text) for text in texts}) == len(texts)


def test_fields_of_a_row_are_kept_apart() -> None:
    assert row_keys({"a": ["x y"], "b": ["z"]}, ["a", "b"]) != row_keys(
        {"a": ["x"], "b": ["y z"]}, ["a", "b"]
    )


@pytest.mark.parametrize(
    "text", ["", "\n\t ", "\u200b", "\u00a0\u2003", "\ufeff", "\u2800\u3164", "\u00ad\u2060\ufe0f"]
)
def test_a_text_of_invisible_characters_alone_shows_nothing(text: str) -> None:
    found = pc.match_substring_regex(pa.array([text, f"{text}a", f"\U0001f600{text}"]), VISIBLE)
    assert found.to_pylist() == [False, True, True]
    assert text_key(text) == "" or "\u2800" in text


@pytest.mark.parametrize(
    "marks",
    [
        "\u0301\u0316",
        "\u0f73\u0f75",  # no marks themselves, they are made of such
        "\u0344",
        "\uff9e\uff9f",
        "\U0001d165\u0316",
    ],
    ids=ascii,
)
def test_marks_piled_on_a_letter_without_end_are_cut_off(marks: str) -> None:
    """Python sorts them in quadratic time: such a text of a megabyte took a quarter of an hour."""
    assert len(text_key(f"a{marks * 300_000} b")) <= 70
    assert text_key(f"a{marks * 300_000} b") == text_key(f"a{marks * 400_000} B")


def test_marks_that_languages_write_stay() -> None:
    assert text_key("a\u0301\u0316") != text_key("a")
    assert len(text_key("a" + "\u0316" * 30)) == 31
