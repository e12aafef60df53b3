"""Text of the data and of task files, shown as it is: no command to a terminal, no Markdown."""

from __future__ import annotations

import re

# Control characters but tab and new line; what turns the direction of writing; half characters.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKUP = re.compile(r"[!-/:-@\[-`{-~]")  # all of ASCII's punctuation: CommonMark lets any be told


def visible(text: str) -> str:
    """Write out what a terminal would act upon, or could not show at all."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def as_markdown(text: str) -> str:
    """Escape a text so that Markdown shows it as it is, on one line, in a cell of a table too."""
    line = " ".join(visible(text).split())
    return _MARKUP.sub(lambda found: _ENTITIES.get(found.group(), f"\\{found.group()}"), line)
