"""Pairs of a subject and a text, from posts as the collection has them."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from data.cuts import Row, Sizes
from data.subjects import Pair, build_subjects, paired, replies
from data.texts import NEWSGROUPS_MEMBER, TOPICS
from pet.tasks.task import load_task
from tests.data.conftest import HALVES, collection

LONG = " ".join(["word"] * 25)


def test_a_reply_is_parted_into_its_subject_and_what_it_says_itself() -> None:
    post = f"re re chain lube in article a b writes in article c d wrote {LONG} "
    assert list(replies([Row("train-1", post, "rec.autos")])) == [
        Pair("train-1", LONG, "rec.autos", "chain lube")
    ]


def test_what_is_no_reply_or_says_little_stays_out() -> None:
    posts = [f"chain lube {LONG}", "re chain lube in article a b writes me too"]
    assert not list(replies([Row(str(n), post, "g") for n, post in enumerate(posts)]))


def test_a_strange_subject_is_another_one_of_the_same_newsgroup() -> None:
    posts = [Pair(f"{g}{n}", LONG, g, f"{g} {n // 2}") for g in ("a", "b") for n in range(8)]
    own = {post.id: post.subject for post in posts}
    found = list(paired(posts))
    assert [pair.label for pair in found].count("own") == 8
    for pair in found:
        assert (pair.subject == own[pair.id]) == (pair.label == "own")
        assert pair.subject[0] == pair.id[0]


def test_the_task_reads_the_columns_of_every_part(tmp_path: Path) -> None:
    tables = {
        half: "\n\n\n"
        + "\n".join(
            f"{group}\tre {group} {n} of {half} in article x y writes {half} {n} {group} {LONG}"
            for group in TOPICS
            for n in range(10)
        )
        for half in HALVES
    }
    archive = collection(tmp_path / "a.whl", NEWSGROUPS_MEMBER, tables)
    folder = tmp_path / "subjects"
    folder.mkdir()
    sizes = Sizes(pool=30, test=20, validation=20, labeled=(4, 8), seeds=2)
    build_subjects(archive, folder, sizes)
    task = load_task(folder / "task.toml")
    fields = ["id", *task.fields]
    assert pq.read_table(folder / "pool.parquet").column_names == fields
    for name in ("test", "validation", "labeled-4-seed1"):
        table = pq.read_table(folder / f"{name}.parquet")
        assert table.column_names == [*fields, "label"]
        labels = table["label"].to_pylist()
        assert labels.count("own") == len(labels) / 2
        assert set(labels) == set(task.labels)
