"""What a run reads before it looks at any model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.inputs.run_tables import read_tables
from tests.support import samples

Configure = Callable[..., Any]


def test_the_text_column_may_have_another_name(config_for: Configure, own_inputs: Path) -> None:
    rows = samples.labeled_rows()
    for name, content in (
        ("labeled.csv", rows),
        ("test.csv", samples.test_rows()),
        ("pool.csv", rows),
    ):
        samples.write_csv(own_inputs / name, content, ("body", "topic"))
    config = config_for(
        inputs=own_inputs,
        text_column="body",
        label_column="topic",
        pool=str(own_inputs / "pool.csv"),
    )
    assert read_tables(config).labeled.columns["text"] == [text for text, _ in rows]


def test_a_text_column_needs_a_task_of_one_field(config_for: Configure, own_inputs: Path) -> None:
    text = samples.task_toml(["category"]).replace('["text"]', '["text", "title"]')
    (own_inputs / "task.toml").write_text(text)
    with pytest.raises(InputError, match="a task with one field"):
        read_tables(config_for(inputs=own_inputs, text_column="body"))
