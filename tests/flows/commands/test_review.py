"""`pet review`: rows out, answers in, and what to give next."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest

from tests.flows.conftest import Pet


def fill(path: Path, column: str = "label", delimiter: str = ",") -> None:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [{**row, "answer": row[column]} for row in csv.DictReader(stream)]
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, rows[0], delimiter=delimiter)
        table.writeheader()
        table.writerows(rows)


def test_each_step_names_the_next_and_the_last_one_is_a_run(
    pet: Pet, run_copy: Path, tmp_path: Path
) -> None:
    written = pet("review", run_copy, "--rows", 6, "--out", "todo.csv")
    assert written.exit_code == 0, written.output
    assert "6 rows, by predicted label: " in written.stdout
    fill(Path("todo.csv"))
    taken = pet(*shlex.split(written.stdout.splitlines()[-1])[1:])
    assert taken.exit_code == 0, taken.output
    assert "6 rows added, 0 corrected, 0 confirmed; 0 without an answer" in taken.stdout
    command = shlex.split(taken.stdout.splitlines()[-1])
    again = pet(*command[1:], "--plain", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["labeled"]["student"]["rows"] == 18


def test_answers_that_a_spreadsheet_saved_with_semicolons_are_taken(
    pet: Pet, tiny_run: Path, tmp_path: Path
) -> None:
    pet("review", tiny_run, "--rows", 3, "--out", "todo.csv")
    fill(Path("todo.csv"), delimiter=";")
    words = ("review", tiny_run, "--answers", "todo.csv", "--labeled", "new.jsonl")
    refused = pet(*words)
    assert refused.exit_code == 2
    assert "--csv delimiter=';'" in refused.stderr
    Path("other.csv").write_text("id,label\n1,sport\n")
    other = pet("review", tiny_run, "--answers", "other.csv").stderr
    assert "keep the columns" in other
    assert "delimiter" not in other
    taken = pet(*words, "--csv", "delimiter=;")
    assert taken.exit_code == 0, taken.output
    assert "3 rows added" in taken.stdout


def test_tools_get_their_files_and_scripts_their_json(pet: Pet, tiny_run: Path) -> None:
    found = json.loads(
        pet("review", tiny_run, "--rows", 3, "--out", "t.json", "--by", "doubt", "--json").stdout
    )
    assert found["files"] == ["t.json", "t.xml"]
    assert found["rows"] == 3
    record = pet("review", tiny_run, "--rows", 3, "--out", "a.json", "--format", "argilla")
    assert record.exit_code == 0
    assert {"fields", "suggestions"} <= json.loads(Path("a.json").read_text())[0].keys()
    assert "import a.json into Argilla" in record.stdout
    studio = pet("review", tiny_run, "--rows", 3, "--out", "s.json").stdout
    assert "s.xml is the labeling interface" in studio
    assert "--answers s-answers.json" in studio, "what was handed out holds no answers"


def test_answers_that_are_wrong_end_with_status_2_and_write_nothing(
    pet: Pet, tiny_run: Path
) -> None:
    pet("review", tiny_run, "--rows", 3, "--out", "todo.csv")
    fill(Path("todo.csv"), "why")
    result = pet("review", tiny_run, "--answers", "todo.csv", "--labeled", "new.jsonl")
    assert result.exit_code == 2
    assert "expected: the task's labels" in result.stderr
    assert not Path("new.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no --rows, no --out"),
        (["--rows", 5], "no --out"),
        (["--rows", 5, "--out", "r.csv", "--answers", "a.csv"], "found:    --rows, --out"),
        (["--rows", 5, "--out", "r.csv", "--labeled", "l.jsonl"], "found:    --labeled"),
        (["--answers", "a.csv", "--by", "doubt"], "found:    --by"),
        (["--rows", 5, "--out", "r.csv", "--by", "luck"], "coverage or doubt"),
        (["--rows", 5, "--out", "r.xlsx"], "ends in .csv, .jsonl or .json"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    pet: Pet, tiny_run: Path, words: list[object], message: str
) -> None:
    result = pet("review", tiny_run, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(Path().iterdir())
