"""The ledger: entries that add up, and none that is lost without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from pet.errors import InputError
from pet.nightly.ledger import (
    NAMED,
    BadFile,
    Entry,
    FileRecord,
    describe,
    entry_path,
    read_state,
    unit_name,
    write_entry,
)
from tests.support.nights import model_record

FILE = FileRecord(digest="d1", rows=2, rejected=0, counts={"a": 2}, abstained=0)
MODEL = model_record(predictor="ensemble", reason=NAMED)
BAD = BadFile(digest="d2", expected="e", found="f", fix="x")


def entry(number: int, **what: object) -> Entry:
    return Entry(number=number, started="2026-01-01T00:00:00+00:00", seconds=1, model=1, **what)


def test_entries_add_up(tmp_path: Path) -> None:
    write_entry(tmp_path, entry(1, labeled={"a": FILE, "b": FILE}, bad={"c": BAD}))
    write_entry(tmp_path, entry(2, deleted=["a", "c"], bad={"b": BAD}))
    state = read_state(tmp_path)
    assert (set(state.files), state.deleted, set(state.bad)) == ({"a", "b"}, {"a"}, {"b"})
    write_entry(tmp_path, entry(3, returned=["a", "b"]))
    state = read_state(tmp_path)
    assert (set(state.files), state.deleted, state.bad) == ({"a", "b"}, set(), {})
    assert describe(tmp_path)["files"]["a"]["in_pool"]


@pytest.mark.parametrize("damage", ["missing", "cut off", "of another number", "unknown field"])
def test_an_entry_that_is_lost_is_an_error(tmp_path: Path, damage: str) -> None:
    """Without it, its files would be labeled again, or taken for new ones that had drifted."""
    for number in (1, 2, 3):
        write_entry(tmp_path, entry(number, labeled={f"f{number}": FILE}))
    path = entry_path(tmp_path, 2)
    if damage == "missing":
        path.unlink()
    elif damage == "cut off":
        path.write_text(path.read_text()[:30])
    elif damage == "of another number":
        path.write_text(entry_path(tmp_path, 3).read_text())
    else:
        path.write_text(path.read_text().replace('"seconds"', '"minutes"'))
    with pytest.raises(InputError, match="the next entry of the ledger"):
        read_state(tmp_path)


def test_a_ledger_of_a_former_version_is_read_by_todays_names(tmp_path: Path) -> None:
    write_entry(tmp_path, entry(1, came_into_use=MODEL))
    path = entry_path(tmp_path, 1)
    written = path.read_text()
    assert written.count('"predictor"') == 1
    path.write_text(written.replace('"predictor"', '"voice"'))
    assert read_state(tmp_path).model == MODEL
    path.write_text(written.replace('"predictor"', '"voice": "student", "predictor"'))
    with pytest.raises(InputError, match="the next entry of the ledger"):
        read_state(tmp_path)


def test_a_folder_of_labels_is_named_after_name_and_content() -> None:
    names = {
        unit_name("a.csv", "1"),
        unit_name("a.csv", "2"),
        unit_name("b/a.csv", "1"),
        unit_name("b-a.csv", "1"),
        unit_name("../../a.csv", "1"),
        unit_name("x" * 300, "1"),
    }
    assert len(names) == 6
    for name in names:
        assert "/" not in name
        assert name[0] not in "._-"
        assert len(name) <= 80
    assert unit_name("日本", "1").lstrip("-")[0] not in "._-"
