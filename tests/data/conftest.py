"""Tiny stand-ins for the real archives, and an index that serves them instead of pip."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data import archives, models, texts
from data.archives import Archive
from data.cache import Recipe
from data.cuts import Sizes

HALVES = ("train", "test")
TINY = Sizes(pool=30, test=20, validation=20, labeled=(5, 10), seeds=2)


class FakeIndex:
    """Serves the files in a folder as the package index would, and counts the downloads."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.downloads = 0

    def __call__(self, archive: Archive, folder: Path) -> None:
        self.downloads += 1
        shutil.copy(self.folder / archive.filename, folder)


@pytest.fixture
def index(tmp_path, monkeypatch) -> FakeIndex:
    (tmp_path / "index").mkdir()
    fake = FakeIndex(tmp_path / "index")
    monkeypatch.setattr(archives, "pip_download", fake)
    return fake


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pinned(path: Path) -> Archive:
    """Return the archive that `path` is, with its true checksum."""
    return Archive("fake", "1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def tar_of(members: dict[str, bytes]) -> bytes:
    """Return a gzipped tar with the given files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def newsgroup_table(posts: int, word: str) -> str:
    """Return `posts` posts per newsgroup, and one group that is none of our topics."""
    header = "Category\tText\nd\tstring\nclass\t\n"
    groups = [*texts.TOPICS, "alt.atheism"]
    lines = [f"{group}\t{word} {number} {group}" for group in groups for number in range(posts)]
    return header + "\n".join([*lines, "sci.med\t ", f"sci.space\t{word} 0 rec.autos"]) + "\n"


def news_table(half: str) -> str:
    """Return news of which half are of one label, and a tenth of another."""
    groups = ["earn"] * 50 + ["acq"] * 40 + ["grain"] * 10
    lines = [f"{group}\t{half} {number}" for number, group in enumerate(groups)]
    return "Category\tText\nd\tstring\nclass\t\n" + "\n".join(lines) + "\n"


@pytest.fixture
def newsgroups(index) -> Recipe:
    tables = {half: newsgroup_table(20, half) for half in HALVES}
    path = collection(index.folder / "newsgroups.whl", texts.NEWSGROUPS_MEMBER, tables)
    return tiny_recipe("newsgroups", path, texts.build_newsgroups)


@pytest.fixture
def reuters(index) -> Recipe:
    tables = {half: news_table(half) for half in HALVES}
    path = collection(index.folder / "reuters.whl", texts.REUTERS_MEMBER, tables)
    return tiny_recipe("reuters", path, texts.build_reuters)


def collection(path: Path, member: str, tables: dict[str, str]) -> Path:
    """Write an archive of a collection's train and test tables."""
    with zipfile.ZipFile(path, "w") as zipped:
        for half, table in tables.items():
            zipped.writestr(member.format(half=half), table)
    return path


@pytest.fixture
def movies(index) -> Recipe:
    return tiny_recipe("movies", snippets(index.folder / "movies.tar.gz"), texts.build_movies)


@pytest.fixture
def domains(index) -> Recipe:
    return tiny_recipe("domains", snippets(index.folder / "domains.tar.gz"), texts.build_domains)


def tiny_recipe(name: str, path: Path, build: Callable[[Path, Path, Sizes], None]) -> Recipe:
    """Cut the archive at `path` into parts of a few rows."""
    return Recipe(name, name, pinned(path), lambda archive, folder: build(archive, folder, TINY))


def snippets(path: Path) -> Path:
    """Write an archive of rated snippets, each kind's in a file of its own."""
    ratings = [0.2, -0.3] + [rating for _ in range(80) for rating in (0.5, -2.25, 1.5)]
    lines = [f"{n}\t{rating}\tSnippet {n} café" for n, rating in enumerate(ratings, 1)]
    kinds = [texts.MOVIES_KIND, *texts.OTHER_KINDS.values()]
    table = "\r\n".join(lines).encode()
    inner = tar_of({texts.SNIPPETS_MEMBER.format(kind=kind): table for kind in kinds})
    path.write_bytes(tar_of({texts.MOVIES_INNER: inner}))
    return path


@pytest.fixture
def bert_tiny(index) -> Recipe:
    path = index.folder / "bert.whl"
    with zipfile.ZipFile(path, "w") as zipped:
        for name in (*models.BERT_TINY_FILES, "heads.pt", "../../escaped.txt"):
            zipped.writestr(models.BERT_TINY_FOLDER + name, f"content of {name}")
    return Recipe("bert-tiny", "models/bert-tiny", pinned(path), models.build_bert_tiny)
