"""Commands to a smart home: templates as the archive has them, written out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from data.cuts import usable
from data.intents import Templates, name_of, sentences, write_intents
from pet.tasks.task import load_task

RULES = {"the": "(the|my)", "light": "<the> (light|lamp)[s]"}
LISTS = {
    "color": {"values": ["red", {"in": "(blue|navy)"}]},
    "level": {"range": {"from": 0, "to": 9}},
}


def written(template: str) -> set[str]:
    rng = random.Random(7)
    return {Templates(RULES, LISTS, rng).write(template) for _ in range(200)}


def test_a_template_is_written_out_in_all_its_ways() -> None:
    assert written("turn [all] on") == {"turn on", "turn all on"}
    assert written("(a|b) (c;d)") == {"a c d", "a d c", "b c d", "b d c"}
    assert written("dim <light>") == {
        f"dim {the} {light}"
        for the in ("the", "my")
        for light in ("light", "lights", "lamp", "lamps")
    }
    assert written("{color:tint}") == {"red", "blue", "navy"}
    assert written("to {level}") == {f"to {n}" for n in range(1, 10)}
    assert all(own.startswith("in the") for own in written("in the {area}"))


def archive() -> dict[str, Any]:
    intents = {
        f"HassDo{letter}{end}": {
            "data": [{"sentences": [f"do {letter} {{level}} {{area}} {{name}}"]}]
        }
        for letter in ("Alpha", "Beta", "Gamma")
        for end in ("Now", "Later")
    }
    intents["HassNevermind"] = {"data": [{"sentences": ["never mind"]}]}
    return {"intents": intents, "expansion_rules": RULES, "lists": LISTS}


def test_labeled_sets_have_so_many_rows_of_each_intent_and_no_row_is_in_two_parts(
    tmp_path: Path,
) -> None:
    rows = usable(sentences(archive()))
    assert rows == usable(sentences(archive())), "everybody gets the same files"
    write_intents(rows, tmp_path)
    of = {path.stem: pq.read_table(path).to_pylist() for path in tmp_path.glob("*.parquet")}
    task = load_task(tmp_path / "task.toml")
    assert len(task.labels) == 6, "of an intent with one sentence nothing can be learned"
    assert [row["label"] for row in of["labeled-1-each-seed2"]].count(task.labels[0]) == 1
    assert len(of["labeled-5-each-seed0"]) == 30
    parts = ["pool", "test", *(f"labeled-5-each-seed{seed}" for seed in range(4))]
    ids = [row["id"] for part in parts for row in of[part]]
    assert len(ids) == len(set(ids))
    small = {row["id"] for row in of["labeled-1-each-seed1"]}
    assert small < {row["id"] for row in of["labeled-3-each-seed1"]}
    assert "label" not in of["pool"][0]


def test_intents_are_named_in_words() -> None:
    assert name_of("HassVacuumReturnToBase") == "vacuum return to base"
