"""Text of the data, where it is shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from pet.escaping import as_markdown, shown_threshold, visible

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[a](javascript:alert(1))",
    "![a](https://evil.example/x.png)", "https://evil.example", "www.evil.example", "a | b | c",
    "`code`", "```\ncode", "**bold** _it_ ~~gone~~", "# title", "- item", "1. item", "---",
    "> quote",
    "a\n\nb", "&lt;b&gt;", "\\<b>", "$x$", "[^1]", "a\r\n| --- |", "=cmd|' /C calc'!A0",
]  # fmt: skip
PAGE = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_a_text_and_does_nothing_else(text: str) -> None:
    assert_plain(text)


@given(st.text(alphabet="<>|`*_[]()#!&;\\-+=~:./ab1 \n\t", max_size=30))
@example("\\")
@example("*a*")
def test_no_text_at_all_becomes_markup(text: str) -> None:
    assert_plain(text)


def assert_plain(text: str) -> None:
    line = visible(" ".join(text.split()))
    table = PAGE.parse(f"| a | b |\n|---|---|\n| {as_markdown(text)} | end |\n")
    cells = [token for token in table if token.type == "inline"]
    assert [cell.content for cell in cells][-1] == "end"
    assert len(cells) == 4
    for inline in (cells[2], *(t for t in PAGE.parse(as_markdown(text)) if t.type == "inline")):
        kinds = {child.type for child in inline.children or []}
        assert kinds <= {"text", "text_special"}
        assert "".join(child.content for child in inline.children or []) == line
    rendered = PAGE.render(f"x {as_markdown(text)}")
    assert set(re.findall(r"<(\w+)", rendered)) == {"p"}


def test_what_a_terminal_would_act_upon_is_written_out() -> None:
    assert visible("a\x1b[2Jb\x9b1m\x07\r\u202ec\udcff") == (
        "a\\x1b[2Jb\\x9b1m\\x07\\r\\u202ec\\udcff"
    )
    assert visible("größe 中文 👩‍👩‍👧\n\ta") == "größe 中文 👩‍👩‍👧\n\ta"


@given(st.floats(min_value=0, max_value=1))
def test_a_threshold_is_never_shown_above_what_it_is(confidence: float) -> None:
    assert shown_threshold(confidence) <= confidence + 1e-6
    assert shown_threshold(confidence) < 1
    assert confidence - shown_threshold(confidence) <= 0.001 + 1e-6


def test_a_threshold_of_few_digits_is_shown_as_it_is() -> None:
    assert [shown_threshold(share / 100) for share in (29, 57, 99)] == [0.29, 0.57, 0.99]
