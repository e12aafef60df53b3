"""Tasks: what they know, and where they are loaded from."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pet.errors import InputError
from pet.tasks.patterns import FieldSlot, MaskSlot, Words
from pet.tasks.task import Task, load_task, parse_task, shipped_tasks
from tests.support.samples import TICKETS


def test_a_good_file_keeps_the_order_of_labels_and_patterns() -> None:
    task = parse_task(TICKETS, "t.toml")
    assert (task.name, task.description, task.source) == ("tickets", "Who answers?", "ours")
    assert task.fields == ("subject", "message")
    assert task.labels == ("billing", "Log-in / access")
    assert [pattern.name for pattern in task.patterns] == ["topic", "about"]
    assert task.pattern("about").pieces[-2:] == (Words(" This is about "), MaskSlot())
    assert FieldSlot("subject") not in task.pattern("about").pieces
    assert task.toml == TICKETS


def test_a_patterns_own_words_replace_those_of_the_named_labels_only() -> None:
    task = parse_task(TICKETS, "t.toml")
    password = {"Log-in / access": ("password",)}
    assert task.verbalizer("topic") == {"billing": ("payment", "invoice"), **password}
    assert task.verbalizer("about") == {"billing": ("money",), **password}


def test_a_pattern_name_that_a_setting_misspells_is_the_users_mistake() -> None:
    task = parse_task(TICKETS, "t.toml")
    with pytest.raises(InputError, match="did you mean `topic`"):
        task.pattern("topics")
    with pytest.raises(InputError, match="a pattern: about, topic"):
        task.verbalizer("zzz")


def test_tasks_travel_to_other_processes_and_can_be_cache_keys() -> None:
    task = parse_task(TICKETS, "t.toml")
    assert pickle.loads(pickle.dumps(task)) == task
    assert hash(task) == hash(parse_task(TICKETS, "elsewhere.toml"))


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TICKETS.replace("\n", "\r\n").encode())
    for ref in (path, str(path)):
        assert load_task(ref).labels == ("billing", "Log-in / access")


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('name = "t"\nsource = "é"\n'.encode("latin-1"))
    with pytest.raises(InputError, match=r"byte 0xe9 in line 2, which is not UTF-8"):
        load_task(path)


def test_a_folder_is_not_a_task(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder"):
        load_task(tmp_path)


def test_a_path_that_no_disk_can_hold_is_an_error_and_not_a_crash() -> None:
    for ref in ("a\0.toml", "a" * 5000 + ".toml"):
        with pytest.raises(InputError, match="a readable task file"):
            load_task(ref)


def test_an_unknown_name_lists_the_shipped_tasks() -> None:
    with pytest.raises(InputError, match=r"ag_news, boolq, (.|\n)*did you mean `ag_news`"):
        load_task("agnews")
    with pytest.raises(InputError, match=r"no such file or task"):
        load_task("nowhere/to/be.toml")


def test_a_bare_name_is_the_shipped_task_and_a_path_is_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("movies", "movies.toml", "own"):
        Path(name).write_text(TICKETS)
    assert load_task("movies").name == "movies"
    assert load_task(Path("movies")).name == "movies"
    assert load_task("./movies").name == "tickets"
    assert load_task("movies.toml").name == "tickets"
    assert load_task("own").name == "tickets"


def test_shipped_names_are_sorted_and_load() -> None:
    names = shipped_tasks()
    assert names == sorted(names)
    assert all(isinstance(load_task(name), Task) for name in names)
