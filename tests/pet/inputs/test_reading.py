"""What a run starts from: all problems at once, digests of content, the patterns that fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.data.labeled import table_digest
from pet.errors import InputError
from pet.inputs.reading import open_session
from pet.inputs.run_tables import read_tables
from tests.conftest import ModelFolder
from tests.support import samples

Configure = Callable[..., Any]


def test_good_inputs_are_read_and_named_by_content(config_for: Configure) -> None:
    session = open_session(config_for())
    assert len(session.labeled) == 12
    assert session.test is not None
    assert len(session.test) == 9
    assert session.pool.count_rows() == 40
    assert set(session.digests) >= {"model", "student_model", "labeled", "pool", "test"}
    assert session.digests["student_model"] == session.digests["model"]
    assert not session.folder.exists(), "reading wrote something"


def test_the_problems_of_all_files_come_at_once(config_for: Configure, own_inputs: Path) -> None:
    samples.write_csv(own_inputs / "labeled.csv", [("x", "sprot")], ("text", "label"))
    samples.write_csv(own_inputs / "test.csv", [("x", "sport")], ("words", "label"))
    (own_inputs / "pool.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="sprot") as caught:
        open_session(
            config_for(inputs=own_inputs, model="./no/such/model", student_model="./nor/this")
        )
    places = " ".join(problem.where for problem in caught.value.problems)
    for name in ("labeled.csv", "test.csv", "pool.parquet", "./no/such/model", "./nor/this"):
        assert name in places


def test_a_broken_task_file_is_reported_with_a_missing_model(
    config_for: Configure, own_inputs: Path
) -> None:
    (own_inputs / "task.toml").write_text("labels = 3")
    with pytest.raises(InputError, match=r"task\.toml") as caught:
        open_session(config_for(inputs=own_inputs, model="./no/such/model"))
    assert any("./no/such/model" in problem.where for problem in caught.value.problems)


def test_a_word_that_the_model_cannot_write_is_reported_once_with_its_patterns(
    config_for: Configure, own_inputs: Path
) -> None:
    text = samples.task_toml().replace('business = "business"', 'business = "zebra"')
    (own_inputs / "task.toml").write_text(text)
    with pytest.raises(InputError, match="zebra") as caught:
        open_session(config_for(inputs=own_inputs))
    [problem] = caught.value.problems
    assert all(f"pattern {name}" in problem.where for name in samples.PATTERNS)


def test_a_causal_model_leaves_out_what_it_cannot_ask_and_says_so(
    config_for: Configure, model_folder: ModelFolder
) -> None:
    listener = samples.Listener()
    session = open_session(config_for(model=str(model_folder("gpt2"))), listener)
    assert [pattern.name for pattern in session.task.patterns] == ["last"]
    assert len(listener.said) == 1
    assert "category, bracket" in listener.said[0]


def test_a_labeled_set_is_named_by_its_content_wherever_it_lies(
    config_for: Configure, own_inputs: Path
) -> None:
    first = table_digest(read_tables(config_for()).labeled)
    assert table_digest(read_tables(config_for(inputs=own_inputs)).labeled) == first
    rows = [*samples.labeled_rows()[:-1], ("big money in the bank", "business")]
    samples.write_csv(own_inputs / "labeled.csv", rows, ("text", "label"))
    assert table_digest(read_tables(config_for(inputs=own_inputs)).labeled) != first


def test_a_max_length_beyond_the_models_positions_is_refused(config_for: Configure) -> None:
    with pytest.raises(InputError, match="max_length"):
        open_session(config_for(max_length=512))
