"""When two texts are the same one to a reader, and when a text shows nothing at all."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

# White space and what has no ink: format and control characters, variation selectors, fillers. NUL
# is left to be seen: texts of it are a mistake of whoever wrote them, and show as one.
_INVISIBLE = (
    r"\p{Z}\x{01}-\x{20}\x{7F}-\x{9F}\p{Cf}\x{FE00}-\x{FE0F}\x{034F}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{3164}"
    r"\x{FFA0}\x{2800}"
)

VISIBLE = f"[^{_INVISIBLE}]"  # in RE2's words, as Arrow's functions take it

_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]"
)


@functools.cache
def _marks() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Find what stands behind thirty marks on one letter; and marks of planes above the first.

    Python sorts marks in time that is quadratic in their number: a text of 200 kB took half a
    minute. Thirty are more than any language writes: the limit of the Stream-Safe Text Format
    (Unicode Standard Annex 15). A class of the first plane alone is searched for in no time.
    """
    letters = map(chr, (*range(0x300, 0xD800), *range(0xE000, 0x1F000)))
    marks = [
        own
        for own in letters
        if all(map(unicodedata.combining, unicodedata.normalize("NFKD", own)))
    ]
    first = "".join(mark for mark in marks if mark <= "\uffff")
    others = "".join(mark for mark in marks if mark > "\uffff")
    return re.compile(f"(?<=[{first}]{{30}})[{first}]+"), re.compile(f"[{others}]+")


def text_key(text: str) -> str:
    """Return what texts have alike that differ in blanks, case or Unicode's forms alone.

    Line ends, no-break spaces, composed and decomposed letters and what is invisible count as such.
    """
    if not text.isascii():
        behind_thirty, above = _marks()
        text = behind_thirty.sub("", above.sub("", text) if max(text) > "\uffff" else text)
        text = _UNSEEN.sub("", unicodedata.normalize("NFKC", text))
    text = " ".join(text.casefold().split())
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def row_keys(columns: Mapping[str, Sequence[str]], fields: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the keys of rows, each with those of all its fields. [rows]"""
    return [tuple(map(text_key, row)) for row in zip(*(columns[n] for n in fields), strict=True)]


def row_digests(columns: Mapping[str, Sequence[str]], fields: Sequence[str]) -> list[str]:
    """Name rows by their keys: 16 hexadecimal digits of a sha256 each. [rows]"""
    joined = ("\0".join(key).encode("utf-8", "replace") for key in row_keys(columns, fields))
    return [hashlib.sha256(key).hexdigest()[:16] for key in joined]


def alike(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of names that have one key: most likely slips of one name."""
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        groups.setdefault(text_key(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def named_apart(names: Iterable[str]) -> str:
    """Show names that are alike, so that the eye sees how they differ."""
    return " and ".join(map(ascii, names))
