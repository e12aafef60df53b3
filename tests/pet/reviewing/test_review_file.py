"""The file of rows, read back to be shown: long texts cut, what is wrong with it said at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pet.errors import InputError
from pet.reviewing.answer_form import AnswerForm
from pet.reviewing.review_file import SHOWN, read_rows, rows_digest
from tests.support.reviews import LABELS, write_texts

FORM = AnswerForm(LABELS)
HARD = ["=1+1", "two\nlines", "\u202eabc", "'quoted'"]


@pytest.mark.parametrize("name", ["r.jsonl", "r.csv"])
def test_rows_come_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    rows = read_rows(write_texts(tmp_path / name, HARD), ("text",), FORM)
    assert [row.texts["text"] for row in rows] == HARD
    assert [row.id for row in rows] == ["row-0", "row-1", "row-2", "row-3"]
    assert (rows[0].label, rows[0].confidence, rows[0].why) == ("sport", "0.5", "a reason")


def test_a_text_of_twenty_million_characters_is_cut_and_its_length_known(tmp_path: Path) -> None:
    """One row of a table may have 16 MB: as a table the file could not be read."""
    path = write_texts(tmp_path / "r.jsonl", ["x" * 20_000_000, "short"])
    long, short = read_rows(path, ("text",), FORM)
    assert (len(long.texts["text"]), long.lengths["text"]) == (SHOWN, 20_000_000)
    assert (short.texts["text"], short.lengths["text"]) == ("short", 5)


def test_fields_of_awkward_names_are_found_again(tmp_path: Path) -> None:
    path = write_texts(tmp_path / "r.jsonl", [{"id": "one", "why": "two"}])
    [row] = read_rows(path, ("id", "why"), FORM)
    assert dict(row.texts) == {"id": "one", "why": "two"}


def test_a_prediction_that_is_no_label_of_the_task_is_not_shown(tmp_path: Path) -> None:
    path = write_texts(tmp_path / "r.jsonl", ["a"], ("other",))
    assert read_rows(path, ("text",), FORM)[0].label == ""


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "found:    none"),
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], "row 2: the id a once more"),
        ([{"id": "a", "text": 7}], "row 1: no text in text"),
        ([{"text": "x"}], "row 1: no id"),
        ([{"id": "a", "text": "\ud800"}], "row 1: half of a Unicode character"),
        ([{"id": "a", "text": "x", "answer": "sport"}], "1 answers"),
        ([7], "line 1"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(
    tmp_path: Path, lines: list[object], message: str
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError) as caught:
        read_rows(path, ("text",), FORM)
    assert message in str(caught.value)


def test_a_file_for_another_tool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.jsonl or \.csv"):
        read_rows(tmp_path / "r.json", ("text",), FORM)


def test_rows_are_named_by_ids_texts_and_lengths(tmp_path: Path) -> None:
    texts = (["a", "b"], ["a", "c"], ["x" * SHOWN, "b"], ["x" * SHOWN + "y", "b"])
    paths = [write_texts(tmp_path / f"{n}.jsonl", own) for n, own in enumerate(texts)]
    names = [rows_digest(read_rows(path, ("text",), FORM)) for path in paths]
    assert len(set(names)) == len(texts)
