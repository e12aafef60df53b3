"""The log of answers: nothing that was acknowledged is lost, nothing strange is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.errors import InputError
from pet.reviewing.answer_log import AnswerLog, LoggedAnswer

ANSWERS = [
    LoggedAnswer(id="a", annotator="Ann\u2028", label="sport", date="2026-11-29T10:00:00+00:00"),
    LoggedAnswer(id="a", annotator="Ann\u2028", label="", date="2026-11-29T10:00:01+00:00"),
]


def log_of(tmp_path: Path, digest: str = "d") -> AnswerLog:
    path = tmp_path / "log.jsonl"
    path.touch()
    return AnswerLog(path, digest)


def test_every_cut_of_the_file_leaves_all_answers_before_it(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    assert log.read() == []
    sizes = []
    for answer in ANSWERS:
        log.append(answer)
        sizes.append(log.path.stat().st_size)
    whole = log.path.read_bytes()
    for cut in range(len(whole) + 1):
        log.path.write_bytes(whole[:cut])
        assert log.read() == ANSWERS[: sum(size <= cut for size in sizes)]


def test_a_log_of_other_rows_is_refused(tmp_path: Path) -> None:
    log_of(tmp_path).read()
    with pytest.raises(InputError, match="answers to other rows"):
        log_of(tmp_path, "e").read()


@pytest.mark.parametrize("line", ["{", '{"id": "a"}', '{"rows": "d"}', "[]", "null"])
def test_a_line_that_is_no_answer_is_named(tmp_path: Path, line: str) -> None:
    log = log_of(tmp_path)
    log.read()
    log.append(ANSWERS[0])
    with log.path.open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(InputError, match="line 3"):
        log.read()
