"""Cloze patterns as text: parse a template, check it, fill it in. No tokenizer here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from pet.errors import Problem, did_you_mean

MASK = "mask"

_TOKEN = re.compile(
    r"(?P<brace>\{\{|\}\})"
    r"|\{(?P<slot>[^{}]*)\}"
    r"|(?P<lone>[{}])"
    r"|(?P<bars>\|{2,})"
    r"|(?P<words>[^{}|]+|\|)"
)

_PLAIN_NAME = re.compile(r"\w[\w -]*")


@dataclass(frozen=True)
class Words:
    """Fixed words of the pattern; never shortened."""

    text: str


@dataclass(frozen=True)
class FieldSlot:
    """Where a text field goes; shortened when the whole is too long."""

    name: str


@dataclass(frozen=True)
class MaskSlot:
    """Where the label word goes."""


@dataclass(frozen=True)
class Boundary:
    """Where the second segment starts, for models trained on pairs of sentences."""


Piece = Words | FieldSlot | MaskSlot | Boundary


@dataclass(frozen=True)
class Pattern:
    """A cloze template: text fields, fixed words, and exactly one mask.

    Attributes:
        name: how folders and reports call it.
        template: the template as typed.
        pieces: the template in parts; two `Words` never stand side by side.
    """

    name: str
    template: str
    pieces: tuple[Piece, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """Name the fields that the pattern uses, in order of first use."""
        names = (piece.name for piece in self.pieces if isinstance(piece, FieldSlot))
        return tuple(dict.fromkeys(names))

    @property
    def mask_is_last(self) -> bool:
        """Return whether only whitespace follows the mask, as causal models need it."""
        after = self.pieces[self.pieces.index(MaskSlot()) + 1 :]
        return all(isinstance(piece, Words) and piece.text.isspace() for piece in after)

    def fill(self, values: Mapping[str, str], word: str) -> str:
        """Write the pattern out as plain text, `word` in the mask's place, a space for `||`.

        Raises:
            KeyError: `values` lacks a field that the pattern uses.
        """
        return "".join(_plain(piece, values, word) for piece in self.pieces)


def parse_pattern(
    name: str, template: str, fields: Collection[str] | None, where: str
) -> tuple[Pattern | None, list[Problem]]:
    """Parse a template; return the pattern, or None and every problem in it.

    Args:
        name: the pattern's name.
        template: fixed words, `{mask}` once, `{field}` for each field name, `{{` and `}}`
            for braces, and at most one `||` between two segments.
        fields: the field names that are allowed; None allows any plain name, for callers
            who do not know the fields.
        where: the file and the place in it, for the problems.
    """
    pieces: list[Piece] = []
    problems = [_reserved(where)] if MASK in (fields or ()) else []
    for token in _TOKEN.finditer(template):
        piece, problem = _read(token, fields, where)
        if piece is not None:
            pieces.append(piece)
        if problem is not None:
            problems.append(problem)
    has_lone_brace = any(token.lastgroup == "lone" for token in _TOKEN.finditer(template))
    problems += _whole(pieces, fields, where, has_lone_brace)
    if problems:
        return None, problems
    return Pattern(name, template, tuple(_tidied(pieces))), []


def _plain(piece: Piece, values: Mapping[str, str], word: str) -> str:
    match piece:
        case Words(text):
            return text
        case FieldSlot(name):
            return values[name]
        case MaskSlot():
            return word
        case Boundary():
            return " "


def _read(
    token: re.Match[str], fields: Collection[str] | None, where: str
) -> tuple[Piece | None, Problem | None]:
    """Turn one token into a piece, with a problem where it is not what the syntax allows."""
    text = token.group()
    match token.lastgroup:
        case "brace":
            return Words(text[0]), None
        case "slot":
            return _slot(token["slot"], fields, where)
        case "lone":
            return None, _lone_brace(token, fields, where)
        case "bars":
            return Boundary(), None if text == "||" else _too_many_bars(text, where)
        case _:
            return Words(text), None


def _slot(name: str, fields: Collection[str] | None, where: str) -> tuple[Piece, Problem | None]:
    """Look a placeholder up. A misspelt one is read as what was meant: one typo, one problem."""
    if name == MASK:
        return MaskSlot(), None
    if name in fields if fields is not None else _PLAIN_NAME.fullmatch(name):
        return FieldSlot(name), None
    meant = did_you_mean(_bare(name), {MASK, *(fields or ())})
    piece = MaskSlot() if meant == MASK else FieldSlot(meant or name)
    fix = f"write one of these instead of {{{name}}}; for braces in the text, write {{{{ and }}}}"
    if meant:
        fix = f"did you mean {{{meant}}}?"
    return piece, Problem(where, _allowed(fields), f"{{{name}}}", fix)


def _bare(name: str) -> str:
    """Cut what `str.format` would read as attribute, index, conversion or width."""
    return re.split(r"[.\[!:]", name, maxsplit=1)[0]


def _whole(
    pieces: list[Piece], fields: Collection[str] | None, where: str, has_lone_brace: bool
) -> Iterator[Problem]:
    """Check what only the template as a whole can show.

    What is missing may stand behind a lone brace: that is one mistake, and not two.
    """
    masks = pieces.count(MaskSlot())
    if masks != 1 and (masks or not has_lone_brace):
        found = f"{masks} of them" if masks else "none"
        fix = "keep the one where the label word belongs" if masks else "add {mask}"
        yield Problem(where, "{mask} exactly once", found, fix)
    if not has_lone_brace and not any(isinstance(piece, FieldSlot) for piece in pieces):
        fix = f"add {_listed(fields)}" if fields else "add a placeholder for a field"
        found = "no field: the pattern would say the same of every text"
        yield Problem(where, "at least one field", found, fix)
    boundaries = pieces.count(Boundary())
    if boundaries > 1:
        yield Problem(where, "`||` at most once", f"{boundaries} of them", "keep one")
    elif boundaries == 1 and _has_empty_segment(pieces):
        fix = "put `||` between the two segments, or leave it out"
        yield Problem(where, "text on both sides of `||`", "an empty segment", fix)


def _has_empty_segment(pieces: list[Piece]) -> bool:
    cut = pieces.index(Boundary())
    return any(
        all(isinstance(piece, Words) and piece.text.isspace() for piece in segment)
        for segment in (pieces[:cut], pieces[cut + 1 :])
    )


def _tidied(pieces: list[Piece]) -> Iterator[Piece]:
    """Join neighbouring words; whitespace on either side of `||` belongs to the `||`."""
    joined: list[Piece] = []
    for is_words, group in groupby(pieces, lambda piece: isinstance(piece, Words)):
        members = list(group)
        text = "".join(piece.text for piece in members if isinstance(piece, Words))
        joined += [Words(text)] if is_words else members
    for index, piece in enumerate(joined):
        if isinstance(piece, Words):
            text = piece.text
            text = text.rstrip() if joined[index + 1 : index + 2] == [Boundary()] else text
            text = text.lstrip() if joined[max(index - 1, 0) : index] == [Boundary()] else text
            if text:
                yield Words(text)
        else:
            yield piece


def _allowed(fields: Collection[str] | None) -> str:
    if fields is None:
        return "{mask} or a field name in braces, nothing else"
    return f"one of {_listed({MASK, *fields})}"


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))


def _lone_brace(token: re.Match[str], fields: Collection[str] | None, where: str) -> Problem:
    brace = token.group()
    return Problem(
        where,
        f"braces in pairs: {_allowed(fields)}",
        f"a lone {brace} at character {token.start() + 1}",
        f"close the placeholder, or write {brace * 2} for a brace in the text",
    )


def _too_many_bars(bars: str, where: str) -> Problem:
    return Problem(where, "`||`, two bars, between two segments", bars, "write `||` or one `|`")


def _reserved(where: str) -> Problem:
    fix = "rename the column, in the task file and in the data"
    return Problem(where, "field names other than `mask`", "a field named `mask`", fix)
