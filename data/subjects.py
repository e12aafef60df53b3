"""A pair task: does a subject belong to a text? Replies of newsgroups, with their own or another's.

The collection has a post's subject, its citations and its text in one line, without signs; of
replies the subject ends where `in article ... writes` begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.cache import Recipe
from data.cuts import Row, Sizes, cut, shuffled
from data.texts import COLLECTIONS_ARCHIVE, NEWSGROUPS_MEMBER, TOPICS, halves, write_parts

REPLY = re.compile(
    r"(?:re )*(?P<subject>(?:\S+ ){2,12}?)"
    r"(?:in article .{1,150}? (?:writes|wrote|says|said) )+"
    r"(?P<text>.+)"
)
FEWEST, MOST = 20, 150  # words of a text; what is behind them is dropped
SIZES = Sizes(pool=1_500, test=800, validation=800)

TASK = """\
name = "subjects"
description = "Does the subject belong to the text?"
source = "20 Newsgroups (Lang, 1995); patterns after RTE in Schick and Schuetze, NAACL 2021"
fields = ["subject", "text"]

[labels]
other = "No"
own = "Yes"

[patterns]
plain_comma = "{subject} ? || {mask} , {text}"
quoted_comma = '" {subject} " ? || {mask} , " {text} "'
about = "{text} Question: is this about {subject}? Yes or No? Answer: {mask}"
title = "{text} Could its title be {subject}? {mask}"
"""


@dataclass(frozen=True)
class Pair(Row):
    """A text and a subject; the label says whether it is the text's own."""

    subject: str


def replies(posts: Iterable[Row]) -> Iterator[Pair]:
    """Yield the posts that are replies, with their subjects."""
    for post in posts:
        found = REPLY.fullmatch(post.text.strip())
        words = found["text"].split() if found else []
        if found and len(words) >= FEWEST:
            text = " ".join(words[:MOST])
            yield Pair(post.id, text, post.label, found["subject"].strip())


def paired(posts: Sequence[Pair]) -> Iterator[Pair]:
    """Give every second reply of a newsgroup the subject of another one of that group.

    Args:
        posts: labels name the newsgroup.
    """
    for group in sorted({post.label for post in posts}):
        mixed = shuffled([post for post in posts if post.label == group], "subjects")
        for place, post in enumerate(mixed):
            others = (own.subject for own in mixed[place + 1 :] + mixed[:place])
            strange = next((own for own in others if own != post.subject), None)
            if place % 2 == 0:
                yield replace(post, label="own")
            elif strange is not None:
                yield replace(post, label="other", subject=strange)


def build_subjects(archive: Path, folder: Path, sizes: Sizes = SIZES) -> None:
    """Cut the pairs, both labels as often; write the task beside them."""
    groups = {name: name for name in TOPICS}
    train, test = (
        list(paired(list(replies(half)))) for half in halves(archive, NEWSGROUPS_MEMBER, groups)
    )
    write_parts(cut(train, test, sizes), folder, ("subject", "text"))
    (folder / "task.toml").write_text(TASK, encoding="utf-8")


SUBJECTS = Recipe("subjects", "subjects", COLLECTIONS_ARCHIVE, build_subjects)
