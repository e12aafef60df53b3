"""Files that are written here for spreadsheets come back as they were; others are left alone."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pet.data.pool import open_pool
from pet.data.spreadsheets import PROBABILITY
from pet.escaping import escape_formula
from tests.support.files import write

TEXTS = ["=1+2", "'=quoted", "+49 30", "@someone", "-", "-1", "'tis", "plain\n=line"]

EXPORT = ["id", "text", "label", "confidence", "abstain", f"{PROBABILITY}sport"]
REVIEW = ["id", "text", "label", "confidence", "probabilities", "why", "answer"]


def read_back(path: Path) -> list[str]:
    batches = open_pool(path, ["text"], id_column="id").batches()
    return [text for batch in batches for text in batch.columns["text"]]


@pytest.mark.parametrize("header", [EXPORT, REVIEW])
def test_texts_of_an_exported_file_are_read_without_the_apostrophe(
    tmp_path: Path, header: list[str]
) -> None:
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, header)
        table.writeheader()
        for number, text in enumerate(TEXTS):
            row = dict.fromkeys(header, "")
            table.writerow({**row, "id": str(number), "text": escape_formula(text)})
    assert read_back(tmp_path / "a.csv") == TEXTS


def test_an_apostrophe_in_any_other_file_is_the_texts_own(tmp_path: Path) -> None:
    assert read_back(write(tmp_path / "a.csv", "id,text\n1,'=a\n2,'@b\n")) == ["'=a", "'@b"]
