"""Text of the data and of task files, shown as it is: no command to a terminal, no Markdown."""

from __future__ import annotations

import math
import re

# Control characters but tab and new line; what turns the direction of writing; half characters.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}

# ASCII punctuation that can mean something; CommonMark lets any of it be escaped.
_MARKUP = re.compile(r"[!#$&(-+.:<-@\[-`{-~]|^-")


def visible(text: str) -> str:
    """Write out what a terminal would act upon, or could not show at all."""
    return _UNSAFE.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


def as_markdown(text: str) -> str:
    """Escape a text so that Markdown shows it as it is, on one line, in a cell of a table too."""
    line = visible(" ".join(text.split()))
    return _MARKUP.sub(lambda found: _ENTITIES.get(found.group(), f"\\{found.group()}"), line)


# How a text begins that a spreadsheet would run as a formula, or that looks like an escaped one.
FORMULA = r"'*[=+\-@\t\r]"

_FORMULA = re.compile(FORMULA)

_NEGATIVE = re.compile(r"-\d+(\.\d+)?")  # a number, which a spreadsheet takes for itself


def escape_formula(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would run."""
    return f"'{text}" if _FORMULA.match(text) and not _NEGATIVE.fullmatch(text) else text


def unescape_formula(text: str) -> str:
    """Undo `escape_formula`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def shown_threshold(confidence: float) -> float:
    """Shorten a confidence from which rows are kept: never up, or the surest would be left out."""
    return min(math.floor(1000 * confidence + 1e-6) / 1000, 0.999)
