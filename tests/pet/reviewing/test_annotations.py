"""Answers read back: from spreadsheets, from Label Studio's exports, from Argilla's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.reviewing.annotation_files import ReviewRow, ReviewTask, write_rows
from pet.reviewing.annotations import Annotation, read_annotations
from pet.reviewing.answer_form import AnswerForm
from pet.reviewing.review_file import read_rows
from tests.support import files

FIELDS = ("text",)
TEXT = "=1+1, so"


def read(path: Path, content: Any) -> list[Annotation]:
    text = content if isinstance(content, str) else json.dumps(content)
    return read_annotations(files.write(path, text), FIELDS)


def studio(*answers: dict[str, Any]) -> list[dict[str, Any]]:
    """Label Studio's JSON export of one task."""
    data = {"row_id": "p:1", "text": TEXT, "label": "a"}
    predicted = [{"result": [{"type": "choices", "value": {"choices": ["a"]}}]}]
    return [{"id": 512, "data": data, "annotations": list(answers), "predictions": predicted}]


def annotation(*choices: str, **more: Any) -> dict[str, Any]:
    result = [{"from_name": "answer", "type": "choices", "value": {"choices": list(choices)}}]
    return {
        "completed_by": 3,
        "result": result,
        "was_cancelled": False,
        "created_at": "2026-11-20T10:00:00Z",
        **more,
    }


def test_a_spreadsheet_comes_back_with_its_texts_as_they_were(tmp_path: Path) -> None:
    row = ReviewRow("-7", {"text": TEXT}, "a", 0.9, {"a": 0.9, "-b": 0.1}, "why")
    write_rows(tmp_path / "r.csv", "csv", [row], ReviewTask("?", FIELDS, ("a", "-b"), "run"))
    filled = (tmp_path / "r.csv").read_text("utf-8-sig").rstrip("\r\n") + "'-b\r\n"
    [own] = read(tmp_path / "r.csv", filled)
    assert own == Annotation("-7", "-b", {"text": TEXT})


def test_a_spreadsheet_may_name_who_answered_and_when(tmp_path: Path) -> None:
    [own] = read(tmp_path / "r.csv", "id,answer,annotator,date\n1, a ,Ann,2026-11-20\n")
    assert own == Annotation("1", "a", {}, "Ann", "2026-11-20")


def test_json_lines_come_back(tmp_path: Path) -> None:
    lines = '{"id": 7, "text": "[x]", "answer": "a"}\n{"id": "8", "answer": null}\n'
    assert read(tmp_path / "r.jsonl", lines) == [
        Annotation("7", "a", {"text": "[x]"}),
        Annotation("8", "", {}),
    ]


def test_label_studio_tasks_go_by_our_id_and_not_by_its_own(tmp_path: Path) -> None:
    [own] = read(tmp_path / "r.json", studio(annotation("b")))
    assert own == Annotation("p:1", "b", {"text": TEXT}, "3", "2026-11-20T10:00:00Z")


def test_a_prediction_that_nobody_confirmed_is_no_answer(tmp_path: Path) -> None:
    for export in (studio(), studio(annotation("b", was_cancelled=True)), studio(annotation())):
        assert [own.label for own in read(tmp_path / "r.json", export)] == [""]


def test_the_labels_of_every_annotator_of_a_task_are_read(tmp_path: Path) -> None:
    second = annotation("a", completed_by={"id": 4, "email": "b@x.org"})
    found = read(tmp_path / "r.json", studio(annotation("b"), second))
    assert [(own.label, own.annotator) for own in found] == [("b", "3"), ("a", "b@x.org")]


def test_label_studio_json_min_and_csv_are_read(tmp_path: Path) -> None:
    small = [
        {
            "id": 512,
            "row_id": "p:1",
            "text": TEXT,
            "answer": "b",
            "annotator": 3,
            "updated_at": "2026",
        }
    ]
    expected = [Annotation("p:1", "b", {"text": TEXT}, "3", "2026")]
    assert read(tmp_path / "r.json", small) == expected
    table = (
        '"annotator","answer","id","row_id","text","updated_at","was_cancelled"\n'
        f'3,"b",512,"p:1","{TEXT}","2026","False"\n'
    )
    assert read(tmp_path / "r.csv", table) == expected
    assert read(tmp_path / "s.csv", table.replace("False", "True"))[0].label == ""


def test_argilla_records_are_read_and_drafts_are_not(tmp_path: Path) -> None:
    def record(**response: Any) -> list[dict[str, Any]]:
        return [
            {
                "id": "p:1",
                "fields": {"text": TEXT},
                "suggestions": {"answer": {"value": "a"}},
                "responses": {"answer": [response]} if response else {},
            }
        ]

    given = record(value="b", user_id="u1")
    expected = [Annotation("p:1", "b", {"text": TEXT}, "u1")]
    assert read(tmp_path / "r.json", given) == expected
    assert read(tmp_path / "r.jsonl", json.dumps(given[0])) == expected
    for silent in (record(), record(value="b", user_id="u1", status="draft")):
        assert [own.label for own in read(tmp_path / "r.json", silent)] == [""]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.json", studio(annotation("a", "b")), "row 1: 2 labels: 'a', 'b'"),
        ("r.json", [{"id": "1", "answer": {"choices": ["a", "b"]}}], "2 labels"),
        ("r.json", [{"id": "1", "answer": [["a"]]}], "an answer that is no text"),
        ("r.json", [{"data": {}, "annotations": 5}], "row 1: an answer of another form"),
        ("r.json", [{"data": {}, "annotations": [{"result": 5}]}], "of another form"),
        ("r.json", [{"id": "1", "fields": {}, "responses": {"answer": 5}}], "of another form"),
        ("r.json", '[{"id": "1", "answer": "\\ud800"}]', "half of a Unicode character"),
        ("r.json", {"tasks": []}, "a list of objects"),
        ("r.json", "[1]", "a list of objects"),
        ("r.json", "[{", "JSON in UTF-8"),
        ("r.json", [], "no rows"),
        ("r.csv", "text,label\nx,a\n", "the columns 'id' and 'answer'"),
        ("r.csv", "id;answer\n1;a\n", "commas between"),
        ("r.csv", "id,answer\n1,a\n2,a,b\n3\n", "row 2: wrong number of columns; row 3"),
        ("r.jsonl", '{"id": 1, "answer": "a"}\nnot json\n', "row 2: not a JSON object"),
        ("r.xlsx", "PK", "ends in .csv"),
    ],
)
def test_a_file_that_is_no_good_is_refused_as_a_whole(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path / name, content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("none.json", "none.csv"):
        with pytest.raises(InputError, match=name):
            read_annotations(tmp_path / name, FIELDS)


SETS = AnswerForm(("a", "b"), several=True)


def test_sets_of_labels_come_back_from_every_form(tmp_path: Path) -> None:
    """As spreadsheets, our page, Label Studio and Argilla write them."""
    csv = 'id,text,answer\n1,x,"[""b"", ""a""]"\n2,x,[]\n3,x,\n4,x,b\n'
    lines = [
        {"id": str(n), "text": "x", "answer": own}
        for n, own in enumerate([["b", "a"], [], "", "b"], start=1)
    ]
    studio = [
        {"data": {"row_id": str(n), "text": "x"}, "annotations": own}
        for n, own in enumerate(
            [
                [{"result": [{"type": "choices", "value": {"choices": ["b", "a"]}}]}],
                [{"result": []}],
                [{"result": [], "was_cancelled": True}],
                [{"result": [{"type": "choices", "value": {"choices": ["b"]}}]}],
            ],
            start=1,
        )
    ]
    argilla = [
        {"id": str(n), "fields": {"text": "x"}, "responses": own}
        for n, own in enumerate(
            [
                {"answer": [{"value": ["b", "a"]}]},
                {"answer": [{"value": []}]},
                {},
                {"answer": [{"value": ["b"]}]},
            ],
            start=1,
        )
    ]
    documents = {
        "a.csv": csv,
        "a.jsonl": "".join(json.dumps(line) + "\n" for line in lines),
        "studio.json": json.dumps(studio),
        "argilla.json": json.dumps(argilla),
    }
    for name, text in documents.items():
        (tmp_path / name).write_text(text)
        found = read_annotations(tmp_path / name, FIELDS, form=SETS)
        assert [own.label for own in found] == ['["a", "b"]', "[]", "", '["b"]'], name


def test_rows_with_suggested_sets_are_written_for_every_tool(tmp_path: Path) -> None:
    task = ReviewTask("?", FIELDS, ("a", "b"), "run", several=True)
    row = ReviewRow("1", {"text": TEXT}, '["a", "b"]', 0.9, {"a": 0.9, "b": 0.8}, "why")
    write_rows(tmp_path / "s.json", "label-studio", [row], task)
    [shown] = json.loads((tmp_path / "s.json").read_text())
    assert shown["predictions"][0]["result"][0]["value"] == {"choices": ["a", "b"]}
    assert 'choice="multiple"' in (tmp_path / "s.xml").read_text()
    write_rows(tmp_path / "g.json", "argilla", [row], task)
    [record] = json.loads((tmp_path / "g.json").read_text())
    assert record["suggestions"]["answer"]["value"] == ["a", "b"]
    for name in ("r.csv", "r.jsonl"):
        write_rows(tmp_path / name, name[2:], [row], task)
        assert read_rows(tmp_path / name, FIELDS, SETS)[0].label == '["a", "b"]'
