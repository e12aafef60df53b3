"""Debian's packages as texts with several labels, from lists as apt writes them."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from data import debtags, fetch
from data.cache import Recipe, Unavailable
from data.cuts import Sizes
from data.debtags import Package, packages, write_debtags, write_uses
from pet.tasks.task import load_task

LISTS = """\
Package: tetris
Description: Game of blocks
Tag: interface::x11,
 use::gameplaying, use::learning,
 role::program

Package: tetris-data
Description: Game of blocks
Tag: use::gameplaying

Package: libfoo
Description: A library
Tag: role::shared-lib
"""


def test_tags_on_several_lines_are_found_and_each_text_is_taken_once() -> None:
    (found,) = packages(LISTS)
    assert found == Package("tetris", "tetris: Game of blocks", ("gameplaying", "learning"))


def test_no_row_is_in_two_parts_and_the_task_has_the_commonest_labels(tmp_path) -> None:
    kinds = [f"kind{number}" for number in range(14)]
    every = [Package(f"p{n}", f"text {n}", tuple(kinds[: 1 + n % 14][-2:])) for n in range(600)]
    write_debtags(every, tmp_path, held_out=100)
    ids = [
        row
        for path in tmp_path.glob("*.parquet")
        if path.name != "pool-labels.parquet"
        for row in pq.read_table(path)["id"].to_pylist()
    ]
    assert len(ids) == len(set(ids)) == 600
    task = load_task(tmp_path / "task.toml")
    assert task.several
    assert len(task.labels) == 12
    labels = pq.read_table(tmp_path / "pool-labels.parquet")["label"].to_pylist()
    assert any(len(own) == 0 for own in labels)
    assert {label for own in labels for label in own} <= set(task.labels)


def test_packages_of_one_use_are_a_task_of_one_label_a_text(tmp_path) -> None:
    kinds = [f"kind{number}" for number in range(13)]
    one = [Package(f"p{n}", f"text {n}", (kinds[n % 13],)) for n in range(300 - 1)]
    two = [Package(f"q{n}", f"text q{n}", tuple(kinds[:2])) for n in range(20)]
    write_uses([*one, *two], tmp_path, Sizes(100, 50, 50, labeled=(5, 10), seeds=2))
    task = load_task(tmp_path / "task.toml")
    assert not task.several
    assert len(task.labels) == 12
    for name in ("test", "pool-labels", "labeled-10-seed1"):
        rows = pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
        assert {row["label"] for row in rows} <= set(task.labels), name
        assert not any(row["id"].startswith("q") for row in rows), name


def test_a_machine_without_apt_skips_them_and_says_why(cache, capsys, monkeypatch) -> None:
    def absent() -> None:
        raise Unavailable("there is no apt on this machine")

    own = Recipe("debtags", "debtags", None, debtags.build_debtags, absent)
    monkeypatch.setattr(fetch, "RECIPES", {"debtags": own})
    assert fetch.main(["all"]) == 0
    assert capsys.readouterr().out == "debtags: skipped, there is no apt on this machine\n"
    assert not (cache / "debtags").exists()


def test_a_machine_without_lists_asks_for_them(monkeypatch) -> None:
    monkeypatch.setattr(debtags, "read_lists", lambda: LISTS)
    monkeypatch.setattr(debtags.shutil, "which", lambda name: "/usr/bin/apt-cache")
    with pytest.raises(Unavailable, match="apt-get update"):
        debtags.check_lists()
