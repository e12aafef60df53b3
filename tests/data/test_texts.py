"""The demo texts, from a fake archive to Parquet."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from data.cache import cache_root, fetch
from data.cuts import Row
from data.texts import (
    MOVIES,
    NEWSGROUPS,
    OTHER_KINDS,
    REUTERS,
    TOPICS,
    collection_rows,
    movie_rows,
)


def test_the_pool_does_not_give_its_labels_away(newsgroups, cache):
    fetch(newsgroups, cache)
    pool = pq.read_table(cache / "newsgroups/pool.parquet")
    labels = pq.read_table(cache / "newsgroups/pool-labels.parquet")
    assert pool.column_names == ["id", "text"]
    assert labels.column_names == ["id", "label"]
    assert pool["id"].to_pylist() == labels["id"].to_pylist()


def test_no_part_is_missing_or_has_other_columns(newsgroups, movies, cache):
    for recipe in (newsgroups, movies):
        fetch(recipe, cache)
        folder = cache / recipe.target
        sizes = {
            path.stem: pq.read_table(path).num_rows
            for path in folder.glob("*.parquet")
            if pq.read_table(path).column_names == ["id", "text", "label"]
        }
        assert sizes == {
            "test": 20,
            "validation": 20,
            "labeled-5-seed0": 5,
            "labeled-5-seed1": 5,
            "labeled-10-seed0": 10,
            "labeled-10-seed1": 10,
        }


def test_test_rows_never_come_from_the_train_file(newsgroups, cache):
    fetch(newsgroups, cache)
    for name, half in {"test": "test-", "validation": "test-", "pool": "train-"}.items():
        ids = pq.read_table(cache / f"newsgroups/{name}.parquet")["id"].to_pylist()
        assert all(row_id.startswith(half) for row_id in ids)


def test_fetching_twice_gives_the_same_bytes(movies, cache, tmp_path):
    fetch(movies, cache)
    fetch(movies, tmp_path / "again")
    first = {path.name: path.read_bytes() for path in (cache / "movies").iterdir()}
    second = {path.name: path.read_bytes() for path in (tmp_path / "again/movies").iterdir()}
    assert first == second
    assert len(first) == 9


def test_a_group_that_is_no_topic_stays_out():
    table = b"Category\tText\nd\tstring\nclass\t\nalt.atheism\tno\nsci.med\tyes\n"
    assert list(collection_rows(table, "train", TOPICS)) == [Row("train-00001", "yes", "medicine")]


def test_a_snippet_without_a_clear_opinion_stays_out():
    table = "1\t0.49\tso so\r\n2\t-0.5\tTouché?\r\n3\t2.5\tgreat".encode()
    assert list(movie_rows(table)) == [
        Row("movie-00002", "Touché?", "negative"),
        Row("movie-00003", "great", "positive"),
    ]


def test_another_domain_has_no_rows_of_both_opinions(domains, cache):
    fetch(domains, cache)
    for name in OTHER_KINDS:
        table = pq.read_table(cache / f"domains/{name}.parquet").to_pydict()
        assert sorted(table["label"]) == ["negative"] * 10 + ["positive"] * 10
        assert all(row_id.startswith(f"{name}-") for row_id in table["id"])


def test_rare_news_is_as_rare_among_labeled_and_test_rows(reuters, cache):
    """Even sets would hide what becomes of a rare label."""
    fetch(reuters, cache)
    for name, rows in {"test": 20, "labeled-10-seed0": 10}.items():
        labels = pq.read_table(cache / f"reuters/{name}.parquet")["label"].to_pylist()
        assert len(labels) == rows
        shares = {label: labels.count(label) / rows for label in sorted(set(labels))}
        assert shares == {"acquisitions": 0.4, "earnings": 0.5, "grain": 0.1}


@pytest.mark.demo
@pytest.mark.parametrize("recipe", [NEWSGROUPS, MOVIES, REUTERS], ids=lambda recipe: recipe.name)
def test_no_real_text_is_in_two_parts(recipe):
    folder = cache_root() / recipe.target
    if not folder.is_dir():
        pytest.skip(f"python -m data.fetch {recipe.name} has not run")
    parts = {path.stem: pq.read_table(path) for path in folder.glob("*.parquet")}
    assert len(parts) == 4 + 3 * 8
    assert [parts[name].num_rows for name in ("pool", "test", "validation")] == [3000, 1000, 1000]
    names = ["pool", "test", "validation", *(f"labeled-100-seed{seed}" for seed in range(8))]
    texts = [text for name in names for text in parts[name]["text"].to_pylist()]
    assert len(texts) == len(set(texts)) == 5800
