"""A student by itself: its record, its files, and what is said when they are damaged."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.storage.files import read_json
from pet.student.student_folder import open_student, read_student_record
from tests.support import samples

TEXTS = {"text": ["the team won", "a rocket to the moon"]}


@pytest.fixture
def student_copy(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run / "student", tmp_path / "student"))


def test_a_student_of_a_run_says_what_it_reads(tiny_run: Path) -> None:
    record = read_student_record(tiny_run / "student")
    assert (record.task, record.fields, record.max_length) == ("tiny_news", ("text",), 32)
    assert record.labels == samples.LABELS
    names = read_json(tiny_run / "student" / "config.json")["id2label"]
    assert tuple(names.values()) == record.labels


def test_a_student_is_the_same_after_a_pickle_and_after_a_save(
    tiny_run: Path, tmp_path: Path
) -> None:
    student = open_student(tiny_run / "student", device="cpu", tokens_per_batch=64)
    said = student.probabilities(TEXTS)
    copy = pickle.loads(pickle.dumps(student))
    assert (copy.probabilities(TEXTS) == said).all()
    assert (copy.record, copy.card, copy.tokens_per_batch) == (student.record, student.card, 64)
    student.save(tmp_path)
    assert (open_student(tmp_path).probabilities(TEXTS) == said).all()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"task": "t", "labels": 3, "fields": [], "max_length": 1}',
        '{"task": "t", "labels": ["a"], "fields": ["x"], "max_length": "long"}',
    ],
)
def test_a_damaged_record_is_one_screen(student_copy: Path, content: str) -> None:
    (student_copy / "pet.json").write_text(content)
    with pytest.raises(InputError, match=r"a student's folder, with its pet\.json"):
        open_student(student_copy)


@pytest.mark.parametrize("changes", [{"max_length": 0}, {"fields": []}, {"labels": ["a", "b"]}])
def test_a_record_that_does_not_fit_the_weights_is_refused(
    student_copy: Path, changes: dict[str, Any]
) -> None:
    """Labels would be given the names of others."""
    path = student_copy / "pet.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(InputError):
        open_student(student_copy)
