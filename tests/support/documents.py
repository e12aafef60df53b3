"""What a Markdown file of the repository tells its readers to run, and where it sends them."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

REPOSITORY = Path(__file__).parents[2]
RUN = ("sh", "python")  # the fences that somebody pastes
SHOWN = ("text", "toml", "yaml")  # those that show what a file, a folder or a screen looks like


@dataclass(frozen=True)
class Step:
    """A command, or a block of Python, as a reader meets it."""

    text: str
    is_python: bool

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)


def tokens(document: Path) -> Iterator[Token]:
    """Yield every token of a document, those inside of paragraphs too."""
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse(
        document.read_text(encoding="utf-8")
    ):
        yield token
        yield from token.children or ()


def steps(document: Path) -> list[Step]:
    """List what a document has its reader run, in order; every fence has to name its language."""
    found = []
    for token in tokens(document):
        if token.type != "fence":
            continue
        assert token.info in (*RUN, *SHOWN), f"a fence of {document} names no language we know"
        if token.info == "python":
            found.append(Step(token.content, True))
        elif token.info == "sh":
            lines = token.content.replace("\\\n", " ").splitlines()
            found += [Step(line, False) for line in lines if shlex.split(line, comments=True)]
    return found


def code_in_text(document: Path) -> list[str]:
    """List what stands between backquotes."""
    return [token.content for token in tokens(document) if token.type == "code_inline"]


def links(document: Path) -> list[str]:
    """List what a document links to, web addresses left out."""
    targets = [str(token.attrs["href"]) for token in tokens(document) if token.type == "link_open"]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(document: Path) -> set[str]:
    """Name a document's headings as GitHub does: lower case, hyphens for spaces, no punctuation."""
    every = list(tokens(document))
    titles = [
        following.content
        for token, following in itertools.pairwise(every)
        if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def make_targets() -> set[str]:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
