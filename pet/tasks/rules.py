"""Rules of a task: keywords or a regular expression that speak for a label where they are found."""

from __future__ import annotations

import functools
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from pet.errors import InputError, Problem

KEYS = ("name", "label", "keywords", "regex", "field")

MOST_RULES, MOST_KEYWORDS = 1000, 1000  # of a task, of a rule

LONGEST_REGEX = 1000  # characters of an expression

# Seconds of this thread that a rule may take: for one text, and on average for all it has read.
PER_TEXT, ON_AVERAGE = 1.0, 0.01

# Languages that are written without blanks between words: a keyword has no edges there.
_WITHOUT_BLANKS = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー]"
)


@dataclass(frozen=True)
class Rule:
    """Speaks for its label in texts where something is found, and abstains in all others.

    Attributes:
        name: the rule's own; in reports and messages.
        keywords: whole words or phrases, in whatever case; none where there is an expression.
        regex: an expression in the syntax of the library `regex`; empty where there are keywords.
        field: where it is looked for; empty: in every field.
    """

    name: str
    label: str
    keywords: tuple[str, ...] = ()
    regex: str = ""
    field: str = ""

    @property
    def finds(self) -> str:
        """What it looks for, for a person."""
        what = f"/{self.regex}/" if self.regex else ", ".join(self.keywords)
        return f"{what} in {self.field}" if self.field else what

    def fires(
        self, columns: Mapping[str, Sequence[str]], ids: Sequence[str] | None = None
    ) -> NDArray[np.bool_]:
        """State in which texts the rule finds something. [rows]

        Args:
            columns: field -> texts.
            ids: of the rows, for messages; by default they are counted from 0.

        Raises:
            InputError: it takes more than a second for a text, or is slow on all of them.
        """
        expression = _compiled(self.keywords, self.regex)
        fields = [self.field] if self.field else list(columns)
        found = np.zeros(len(columns[fields[0]]), dtype=bool)
        started = time.thread_time()
        for row in range(len(found)):
            texts = (columns[name][row] for name in fields)
            try:
                found[row] = any(
                    expression.search(self._read(text), timeout=PER_TEXT) for text in texts
                )
            except (TimeoutError, MemoryError):
                id = row if ids is None else ids[row]
                raise self._too_slow(f"more than that for the row with the id {id!r}") from None
            spent = time.thread_time() - started
            if spent > PER_TEXT + ON_AVERAGE * (row + 1):
                raise self._too_slow(f"{spent:.1f} seconds for {row + 1:,} texts")
        return found

    def _read(self, text: str) -> str:
        return unicodedata.normalize("NFC", text) if self.keywords else text

    def _too_slow(self, found: str) -> InputError:
        return InputError(
            Problem(
                f"rule {self.name}",
                f"at most {PER_TEXT:g} second for a text, and {ON_AVERAGE:g} on average",
                found,
                "write it without a repeat within a repeat, such as (a+)+, or give keywords",
            )
        )


def rules_shape(rules: Iterable[Rule]) -> list[list[object]]:
    """List what a rule finds, and for which label: what scores with rules depend on."""
    return [[rule.name, rule.label, rule.keywords, rule.regex, rule.field] for rule in rules]


def expression_problem(expression: str) -> str:
    """Return why a regular expression is none; empty if it is one."""
    if len(expression) > LONGEST_REGEX:
        return f"{len(expression):,} characters"
    try:
        matches_nothing = _compiled((), expression).search("", timeout=PER_TEXT)
    except regex.error as error:
        return str(error)
    except (RecursionError, OverflowError, MemoryError, ValueError, TimeoutError):
        return "one that cannot be read"
    return "one that is found in an empty text, too" if matches_nothing else ""


@functools.lru_cache(maxsize=2 * MOST_RULES)
def _compiled(keywords: tuple[str, ...], expression: str) -> Any:
    """Compile a rule's expression, or one that finds its keywords as whole words."""
    if expression:
        return regex.compile(expression, regex.VERSION0)
    return regex.compile("|".join(map(_whole_word, keywords)), regex.VERSION0 | regex.IGNORECASE)


def _whole_word(keyword: str) -> str:
    """Return an expression for a keyword between edges of words; blanks stand for any blanks."""
    words = unicodedata.normalize("NFC", keyword).split()
    before, after = (_edge(end, look) for end, look in ((words[0][0], "<"), (words[-1][-1], "")))
    return before + r"\s+".join(map(regex.escape, words)) + after


def _edge(character: str, look: str) -> str:
    is_of_word = regex.match(r"\w", character) and not _WITHOUT_BLANKS.match(character)
    return rf"(?{look}!\w)" if is_of_word else ""
