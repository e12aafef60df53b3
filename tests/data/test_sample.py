"""The hand-written support tickets: small enough to read, awkward enough to test a CSV reader."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
LABELS = {"billing", "delivery", "technical"}


def read(name: str) -> list[dict[str, str]]:
    with (SAMPLE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


@pytest.mark.parametrize(
    ("name", "columns", "size"),
    [
        ("tickets-labeled.csv", ["text", "label"], 12),
        ("tickets-pool.csv", ["id", "text"], 60),
        ("tickets-test.csv", ["text", "label"], 30),
    ],
)
def test_no_unquoted_comma_makes_a_row_of_the_sample_too_long(name, columns, size):
    rows = read(name)
    assert len(rows) == size
    assert all(list(row) == columns and all(row.values()) for row in rows)


@pytest.mark.parametrize(
    ("name", "per_label"), [("tickets-labeled.csv", 4), ("tickets-test.csv", 10)]
)
def test_no_label_of_the_sample_is_missing_or_rare(name, per_label):
    assert Counter(row["label"] for row in read(name)) == dict.fromkeys(LABELS, per_label)


def test_no_ticket_is_in_two_files_or_has_the_id_of_another():
    texts = [row["text"] for path in SAMPLE.glob("*.csv") for row in read(path.name)]
    assert len(texts) == len(set(texts)) == 102
    pool = read("tickets-pool.csv")
    assert len({row["id"] for row in pool}) == len(pool)


def test_the_sample_exercises_quotes_commas_and_umlauts():
    texts = [row["text"] for row in read("tickets-pool.csv")]
    for mark in ('"', ",", "ö", "'"):
        assert any(mark in text for text in texts)
