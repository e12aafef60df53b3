"""A student by itself: its record, its files, and what is said when they are damaged."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pet.errors import InputError
from pet.models.model import Precision
from pet.storage.files import read_json, write_json
from pet.student.student_folder import open_student, read_student_record
from tests.support import samples
from tests.support.marks import thorough

TEXTS = {"text": ["the team won", "a rocket to the moon"]}

THREADS = 8


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


SPECIAL = ["[SEP]", "a [MASK] of [CLS] the [SEP] sea", "the team won", "[PAD] " * 9, "rocket [SEP]"]


@pytest.mark.parametrize("precision", ["float32", *thorough("bfloat16"), "int8"])
@pytest.mark.parametrize("calls", [20, *thorough(200)])
def test_a_student_that_several_threads_ask_predicts_as_in_one(
    tiny_run: Path, precision: Precision, calls: int
) -> None:
    """Also right after it was loaded; "[SEP]" in a text is a word, whatever other threads do."""
    parts = [SPECIAL[start:stop] for start in range(3) for stop in range(start + 1, 6)]
    alone = open_student(tiny_run / "student", device="cpu", precision=precision)
    expected = [alone.logits({"text": part}) for part in parts]
    shared = open_student(tiny_run / "student", device="cpu", precision=precision)

    def ask(number: int) -> NDArray[np.float32]:
        return shared.logits({"text": parts[number % len(parts)]})

    with ThreadPoolExecutor(THREADS) as threads:
        found = list(threads.map(ask, range(THREADS * calls)))
    wrong = sum(
        not np.allclose(scores, expected[number % len(parts)], atol=1e-6)
        for number, scores in enumerate(found)
    )
    assert wrong == 0
    assert shared.model.precision == precision


@pytest.mark.parametrize("changes", [{"max_length": 4}, {"fields": ["title"]}], ids=str)
def test_a_record_that_was_changed_after_the_fact_is_refused(
    student_copy: Path, changes: dict[str, Any]
) -> None:
    """Texts would be cut shorter than the student has learned them."""
    record = read_json(student_copy / "pet.json")
    write_json(student_copy / "pet.json", {**record, **changes})
    with pytest.raises(InputError, match="one that was changed after it was written"):
        open_student(student_copy)
    del record["digest"]  # as former versions wrote it
    write_json(student_copy / "pet.json", {**record, **changes})
    assert open_student(student_copy)


def another_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("model.safetensors", another_byte, "changed or removed"),
        ("tokenizer.json", Path.unlink, "changed or removed"),
        ("added_tokens.json", lambda path: path.write_text("{}"), "added_tokens.json was added"),
    ],
)
def test_a_student_by_itself_is_what_was_written_and_plain_transformers_load_it(
    tiny_run: Path, tmp_path: Path, name: str, change: Callable[[Path], object], found: str
) -> None:
    """An exported folder has no run around it that would notice."""
    open_student(tiny_run / "student", device="cpu").save(tmp_path)
    (tmp_path / "README.md").write_bytes(b"a card of one's own, in Latin-1: \xe4")
    (tmp_path / ".gitattributes").write_text("of the hub")
    open_student(tmp_path, device="cpu")
    AutoModelForSequenceClassification.from_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tmp_path)
    change(tmp_path / name)
    with pytest.raises(InputError, match=found):
        open_student(tmp_path, device="cpu")


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
