"""What a run reads before it looks at any model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.config import CsvConfig
from pet.data.pool import open_pool
from pet.errors import InputError
from pet.inputs.run_tables import count_leaks, pool_as_recorded, pool_digest, read_tables
from pet.progress import Observer
from pet.storage.digests import combined_digest, file_digests
from tests.support import samples
from tests.support.files import write

Configure = Callable[..., Any]

COLUMNS = ("text", "label")


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


def test_each_file_is_read_as_its_own_settings_say(config_for: Configure, own_inputs: Path) -> None:
    for name in ("labeled", "test"):
        path = own_inputs / f"{name}.csv"
        path.write_text(path.read_text().replace(",", ";"))
    pool = own_inputs / "pool.csv"
    pool.write_text('id\ttext\n1\t"so \\"far\\", so good"\n')
    config = config_for(
        inputs=own_inputs,
        pool=str(pool),
        labeled_csv={"delimiter": ";"},
        pool_csv={"delimiter": "\t", "escape": "\\"},
    )
    tables = read_tables(config)
    assert len(tables.labeled) == len(samples.labeled_rows())
    assert tables.test is not None
    assert len(tables.test) == len(samples.test_rows())
    [batch] = tables.pool.batches()
    assert batch.columns == {"text": ['so "far", so good']}


def test_a_pool_that_is_read_otherwise_is_another_pool() -> None:
    files = {"a.csv": "1f"}
    plain, spark = (pool_digest(files, CsvConfig(escape=mark)) for mark in (None, "\\"))
    assert plain == combined_digest(files)
    assert plain != spark


def test_a_run_of_a_former_version_keeps_the_files_that_it_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "text\na\n")
    of_then = combined_digest(file_digests([tmp_path / "a.csv"]))
    write(tmp_path / "b.tsv", "text\nb\n")
    pool = open_pool(tmp_path, ["text"])
    notes: list[str] = []

    class Noting(Observer):
        def note(self, line: str) -> None:
            notes.append(line)

    kept, files = pool_as_recorded(pool, CsvConfig(), of_then, Noting())
    assert (list(files), [source.name for source in kept.sources]) == (["a.csv"], ["a.csv"])
    assert "1 files are left out" in notes[0]
    for recorded in (None, combined_digest(file_digests(pool.files)), "another"):
        assert pool_as_recorded(pool, CsvConfig(), recorded)[0] is pool


@pytest.mark.parametrize("change", [str.upper, lambda text: f" {text}\r\n", "\ufeff{}".format])
def test_test_rows_of_the_labeled_set_are_found_in_other_case_or_with_other_blanks(
    config_for: Configure, own_inputs: Path, change: Callable[[str], str]
) -> None:
    rows = [(change(text), label) for text, label in samples.labeled_rows()]
    samples.write_csv(own_inputs / "test.csv", rows[:1] + samples.test_rows(), COLUMNS)
    tables = read_tables(config_for(inputs=own_inputs))
    assert count_leaks(tables.task, tables.labeled, tables.test) == 1
    samples.write_csv(own_inputs / "test.csv", rows, COLUMNS)
    with pytest.raises(InputError, match="rows that nobody learns from"):
        read_tables(config_for(inputs=own_inputs))
