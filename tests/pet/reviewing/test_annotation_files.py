"""Rows for people: spreadsheets run nothing, tools read what they are given."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.errors import InputError
from pet.escaping import escape_formula, unescape_formula
from pet.reviewing.annotation_files import (
    ReviewRow,
    ReviewTask,
    file_names,
    format_of,
    studio_config,
    tool_names,
    write_rows,
)

TASK = ReviewTask('Which "team"?', ("subject", "Message Body"), ("a & b", '<"c">'), "run-1")
ROW = ReviewRow(
    "p:7",
    {"subject": '=HYPERLINK("x")', "Message Body": "hi\nthere, ü"},
    "a & b",
    0.75,
    {"a & b": 0.75, '<"c">': 0.25},
    "margin 0.50",
)


@given(st.text())
def test_an_escaped_cell_is_no_formula_and_comes_back_as_it_was(text: str) -> None:
    cell = escape_formula(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unescape_formula(cell) == text


@pytest.mark.parametrize("text", ["'=1", "''=1", "'", "'tis", "=", "-1", "it's"])
def test_apostrophes_of_the_text_itself_survive(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text


def test_a_spreadsheet_gets_no_formula_and_an_empty_answer(tmp_path: Path) -> None:
    write_rows(tmp_path / "r.csv", "csv", [ROW], TASK)
    with (tmp_path / "r.csv").open(encoding="utf-8-sig", newline="") as stream:
        [row] = csv.DictReader(stream)
    assert row["subject"] == '\'=HYPERLINK("x")'
    assert row["answer"] == ""
    assert json.loads(row["probabilities"]) == ROW.probabilities
    assert list(row)[:3] == ["id", "subject", "Message Body"]


def test_label_studio_finds_its_tasks_predictions_and_choices(tmp_path: Path) -> None:
    files = write_rows(tmp_path / "r.json", "label-studio", [ROW], TASK)
    assert files == [tmp_path / "r.json", tmp_path / "r.xml"]
    [task] = json.loads(files[0].read_text())
    view = ElementTree.fromstring(files[1].read_text())
    choices, texts = view.find("Choices"), view.findall("Text")
    assert choices is not None
    assert [choice.get("value") for choice in choices] == list(TASK.labels)
    assert [text.get("value") for text in texts] == ["$subject", "$text_2"]
    assert {text.get("name") for text in texts} <= task["data"].keys()
    [prediction] = task["predictions"]
    [result] = prediction["result"]
    assert result["from_name"] == choices.get("name")
    assert result["to_name"] == choices.get("toName") == texts[0].get("name")
    assert result["value"] == {"choices": ["a & b"]}
    assert (prediction["score"], prediction["model_version"]) == (0.75, "run-1")
    assert "id" not in task["data"]  # Label Studio's exports would put its own in this place


def test_a_description_cannot_break_the_labeling_configuration() -> None:
    odd = ReviewTask('"/><Script>', ("text",), ("a", "b"), "run")
    header = ElementTree.fromstring(studio_config(odd)).find("Header")
    assert header is not None
    assert header.get("value") == '"/><Script>'


def test_argilla_finds_fields_and_a_suggestion(tmp_path: Path) -> None:
    [path] = write_rows(tmp_path / "r.json", "argilla", [ROW], TASK)
    [record] = json.loads(path.read_text())
    assert record["id"] == "p:7"
    assert record["fields"] == {"subject": '=HYPERLINK("x")', "text_2": "hi\nthere, ü"}
    assert record["suggestions"]["answer"] == {"value": "a & b", "score": 0.75, "agent": "run-1"}


def test_a_field_never_hides_a_column_of_ours_or_another_field() -> None:
    fields = ("answer", "text_1", "id", "Text", "row_id")
    for names in (file_names(fields), tool_names(fields)):
        assert len(set(names.values())) == len(fields)
        assert not {"answer", "id"} & set(names.values())
    assert file_names(fields)["Text"] == "Text"
    assert "row_id" not in tool_names(fields).values()


@pytest.mark.parametrize(
    ("name", "format", "found"),
    [
        ("r.csv", None, "csv"),
        ("r.JSON", None, "label-studio"),
        ("r.json", "argilla", "argilla"),
        ("r.jsonl", None, "jsonl"),
    ],
)
def test_the_ending_gives_the_format(name: str, format: str | None, found: str) -> None:
    assert format_of(Path(name), format) == found


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("r.xlsx", None, r"\.csv, \.jsonl or \.json"),
        ("r.csv", "argilla", "ends in .json"),
        ("r.csv", "prodigy", "'prodigy'"),
    ],
)
def test_a_format_that_does_not_fit_is_refused(name: str, format: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        format_of(Path(name), format)
