"""Units that are whole or absent, seeds by name, files written in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from pet.errors import InputError, PetError
from pet.storage.files import (
    changing,
    read_json,
    read_record,
    remove,
    sweep,
    write_json,
    write_text,
    writing,
)
from pet.storage.units import DONE, derive_seed, fingerprint, finished, make_unit


class Build:
    """Writes a file, and counts how often it was asked to."""

    def __init__(self, text: str = "weights"):
        self.calls = 0
        self.text = text

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        (folder / "sub").mkdir()
        (folder / "sub" / "model.bin").write_text(self.text)
        return {"losses": [1.0]}


def test_seeds_are_known_numbers_so_that_old_runs_can_be_repeated() -> None:
    assert derive_seed(42, "member", 0, "category", 0) == 8504780
    assert derive_seed(42, "student") == 2107920157
    assert derive_seed(0) == 1160176045


def test_a_seed_depends_on_its_own_names_only() -> None:
    names = [("member", 0, pattern, r) for pattern in ("a", "b") for r in range(3)]
    seeds = {name: derive_seed(7, *name) for name in names}
    assert len(set(seeds.values())) == len(names)
    assert all(derive_seed(7, *name) == seeds[name] for name in reversed(names))
    assert all(derive_seed(8, *name) != seeds[name] for name in names)
    assert derive_seed(7, "a", "bc") != derive_seed(7, "ab", "c")
    assert all(0 <= seed < 2**31 for seed in seeds.values())


def test_a_fingerprint_does_not_depend_on_the_order_of_its_inputs() -> None:
    assert fingerprint(a=1, b={"x": 1, "y": 2}) == fingerprint(b={"y": 2, "x": 1}, a=1)
    assert fingerprint(a=1) != fingerprint(a=2)


def test_another_version_of_the_library_has_other_fingerprints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = fingerprint(a=1)
    monkeypatch.setattr("pet.__version__", "99.0")
    assert fingerprint(a=1) != before


def test_a_unit_is_made_once_and_then_reused(tmp_path: Path) -> None:
    build, folder = Build(), tmp_path / "members" / "g0"
    first, second = make_unit(folder, "f1", build), make_unit(folder, "f1", build)
    assert build.calls == 1
    assert (first.reused, second.reused) == (False, True)
    assert second.record["losses"] == [1.0]
    record = read_json(folder / DONE)
    assert record["fingerprint"] == "f1"
    assert list(record["files"]) == ["sub/model.bin"]
    assert [path.name for path in folder.parent.iterdir()] == ["g0"]


def test_a_unit_of_other_inputs_is_made_again(tmp_path: Path) -> None:
    make_unit(tmp_path / "u", "f1", Build("old"))
    unit = make_unit(tmp_path / "u", "f2", Build("new"))
    assert not unit.reused
    assert unit.reason == "its inputs or settings have changed"
    assert (tmp_path / "u" / "sub" / "model.bin").read_text() == "new"


def test_a_member_without_its_done_marker_is_made_again(tmp_path: Path) -> None:
    make_unit(tmp_path / "u", "f1", Build())
    (tmp_path / "u" / DONE).unlink()
    unit = make_unit(tmp_path / "u", "f1", Build("again"))
    assert (unit.reused, unit.reason) == (False, f"no readable {DONE}")


@pytest.mark.parametrize("content", ["", '{"fingerprint": "f1", "fi', "[]", '{"files": 3}', "\0"])
def test_a_broken_done_marker_counts_as_none(tmp_path: Path, content: str) -> None:
    make_unit(tmp_path / "u", "f1", Build())
    (tmp_path / "u" / DONE).write_text(content)
    assert not make_unit(tmp_path / "u", "f1", Build()).reused


def test_weights_that_were_changed_after_the_fact_are_made_again(tmp_path: Path) -> None:
    make_unit(tmp_path / "u", "f1", Build())
    (tmp_path / "u" / "sub" / "model.bin").write_text("tampered")
    assert finished(tmp_path / "u", "f1") == (
        False,
        "sub/model.bin was changed or removed after it was made",
    )
    assert not make_unit(tmp_path / "u", "f1", Build()).reused


def test_a_number_of_the_record_that_was_changed_after_the_fact_is_made_again(
    tmp_path: Path,
) -> None:
    """The ensemble's weights and temperature stand in `done.json` alone."""
    make_unit(tmp_path / "u", "f1", Build())
    record = read_record(tmp_path / "u" / DONE)
    write_json(tmp_path / "u" / DONE, {**record, "losses": [2.0]})
    unit = make_unit(tmp_path / "u", "f1", Build())
    assert (unit.reused, unit.reason) == (False, f"{DONE} was changed after it was made")
    assert unit.record["losses"] == [1.0]


def test_a_record_of_before_there_were_digests_of_it_is_taken(tmp_path: Path) -> None:
    make_unit(tmp_path / "u", "f1", Build())
    record = read_record(tmp_path / "u" / DONE)
    del record["digest"]
    write_json(tmp_path / "u" / DONE, record)
    assert make_unit(tmp_path / "u", "f1", Build()).reused


@pytest.mark.parametrize("name", ["adapter_config.json", "part-00007.parquet", "vocab.txt"])
def test_a_file_that_was_added_and_would_be_loaded_is_noticed(tmp_path: Path, name: str) -> None:
    make_unit(tmp_path / "u", "f1", Build())
    (tmp_path / "u" / "README.md").write_text("the report adds it")
    assert finished(tmp_path / "u", "f1")[0]
    (tmp_path / "u" / name).write_text("{}")
    assert finished(tmp_path / "u", "f1") == (False, f"{name} was added after it was made")


def test_a_file_that_was_removed_is_noticed(tmp_path: Path) -> None:
    make_unit(tmp_path / "u", "f1", Build())
    (tmp_path / "u" / "sub" / "model.bin").unlink()
    assert not finished(tmp_path / "u", "f1")[0]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("half a model")
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        make_unit(tmp_path / "u", "f1", build)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rebuild_leaves_the_old_unit(tmp_path: Path) -> None:
    make_unit(tmp_path / "u", "f1", Build("old"))

    def build(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_unit(tmp_path / "u", "f2", build)
    assert finished(tmp_path / "u", "f1")[0]


def _half_written(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("half")


def test_the_old_file_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(path, {"a": 1})
    with pytest.raises(RuntimeError, match="half"), writing(path) as temporary:
        _half_written(temporary)
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.json"]


def test_json_is_readable_text_in_utf8(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"label": "größe", "path": tmp_path})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "größe" in text
    assert json.loads(text)["path"] == str(tmp_path)


def test_what_is_not_json_reads_as_none(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_bytes(b"\xff{")
    assert read_json(tmp_path / "broken.json") is None
    assert read_json(tmp_path / "missing.json") is None
    assert read_json(tmp_path) is None


@pytest.mark.parametrize("below", ["news", "deep/er/news"])
def test_a_file_where_a_folder_should_be_is_the_users_to_correct(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="a place that can be written"):
        write_text(tmp_path / "file" / below, "x")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_read_only_place_is_the_users_to_correct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faked, since the tests may run as root, whom nothing stops."""

    def refuse(*_args: Any, **_kwargs: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pet.storage.files.tempfile.mkdtemp", refuse)
    with pytest.raises(InputError, match="Permission denied") as caught:
        write_text(tmp_path / "a", "x")
    assert str(tmp_path / "a") in str(caught.value)


def test_a_full_disk_says_so_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path / "a", "old")

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pet.storage.files.os.fsync", refuse)
    with pytest.raises(PetError, match="room on the disk") as caught:
        write_text(tmp_path / "a", "new")
    assert caught.value.exit_status == 2
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.durable
def test_every_file_of_a_unit_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut, a unit that is there is whole, and one that was finished is there."""
    synced: list[tuple[str, bool]] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append((place.name, (tmp_path / "u").exists()))
        sync(descriptor)

    monkeypatch.setattr("pet.storage.files.os.fsync", fsync)
    make_unit(tmp_path / "u", "f1", Build())
    files = {path.name for path in (tmp_path / "u").iterdir()}
    assert files
    assert {(name, False) for name in (*files, "u")} <= set(synced)
    assert synced[-1] == (tmp_path.name, True)


def test_a_rename_that_fails_puts_the_old_unit_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_unit(tmp_path / "u", "f1", Build("old"))
    real = os.replace

    def refuse(source: Path, target: Path) -> None:
        if target == tmp_path / "u" and source.name == "u":
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr("pet.storage.files.os.replace", refuse)
    with pytest.raises(InputError, match="room on the disk"):
        make_unit(tmp_path / "u", "f2", Build("new"))
    assert finished(tmp_path / "u", "f1")[0]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (28, "room on the disk"),
        (30, "a place that can be written"),
        (5, "a disk that can be written"),
    ],
)
def test_what_the_system_says_through_a_rust_library_is_understood(
    tmp_path: Path, number: int, expected: str
) -> None:
    """safetensors and tokenizers put it into the text of an error of their own."""

    def save(_folder: Path) -> None:
        raise SafetensorError(f"Error while serializing: I/O error: x (os error {number})")

    with pytest.raises(PetError, match=expected):
        make_unit(tmp_path / "u", "f1", save)
    assert list(tmp_path.iterdir()) == []


def test_a_write_inside_a_unit_names_the_file_as_it_will_be_called(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        with writing(folder / "rows.parquet"):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError) as caught:
        make_unit(tmp_path / "u", "f1", build)
    assert caught.value.problems[0].where == str(tmp_path / "u" / "rows.parquet")


@pytest.mark.parametrize("content", ["[1]", '"text"', "3", "{", "[" * 100_000])
def test_what_is_no_record_reads_as_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content)
    assert read_record(tmp_path / "a.json") == {}


def test_sweeping_only_here_leaves_what_lies_below(tmp_path: Path) -> None:
    """Labels may be written into a folder of runs, where others are at work."""
    (tmp_path / "run" / ".pet-tmp-abc").mkdir(parents=True)
    (tmp_path / ".pet-tmp-def").mkdir()
    assert sweep(tmp_path, below=False) == 1
    assert (tmp_path / "run" / ".pet-tmp-abc").exists()


def test_sweeping_removes_half_written_pieces_only(tmp_path: Path) -> None:
    make_unit(tmp_path / "members" / "g0", "f1", Build())
    (tmp_path / "members" / ".pet-tmp-abc" / "g1").mkdir(parents=True)
    (tmp_path / ".pet-tmp-def").mkdir()
    assert sweep(tmp_path) == 2
    assert finished(tmp_path / "members" / "g0", "f1")[0]
    assert [path.name for path in (tmp_path / "members").iterdir()] == ["g0"]


def test_sweeping_leaves_what_a_living_process_is_writing(tmp_path: Path) -> None:
    """Two exports into one folder: the second took the first one's files away from under it."""
    with writing(tmp_path / "slow.txt") as temporary:
        temporary.write_text("whole")
        assert sweep(tmp_path) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["slow.txt"]
    assert (tmp_path / "slow.txt").read_text() == "whole"


def test_what_cannot_be_removed_or_made_is_one_screen(tmp_path: Path) -> None:
    """Labels of an earlier model on a disk that fails: a user read a traceback."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(PetError, match="expected: "):
        remove(tmp_path / "folder")
    (tmp_path / "file").touch()
    with pytest.raises(PetError, match="expected: "), changing(tmp_path / "file"):
        (tmp_path / "file").mkdir()
    remove(tmp_path / "nothing")
