"""The shipped tasks: all of them load, and say what their sources say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import verbalizers
from pet.tasks.patterns import Boundary
from pet.tasks.task import load_task, parse_task, shipped_tasks

FOLDER = Path(str(verbalizers.__file__)).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def test_every_file_in_the_folder_is_found_and_there_are_ten() -> None:
    assert len(NAMES) == 10
    assert shipped_tasks() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_task_has_the_name_of_its_file_and_cites_its_source(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert "Schick and Schuetze" in task.source
    assert task.description.endswith("?")
    assert task.toml == (FOLDER / f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_of_a_shipped_task_reads_as_one_line(name: str) -> None:
    task = load_task(name)
    values = {field: f"<{field}>" for field in task.fields}
    for pattern in task.patterns:
        for words in task.verbalizer(pattern.name).values():
            filled = pattern.fill(values, words[0])
            assert words[0] in filled
            assert all(f"<{field}>" in filled for field in pattern.fields)
            assert not re.search(r"[{}|\n]|  ", filled)


@pytest.mark.parametrize("name", ["newsgroups", "movies", "reuters"])
def test_the_demo_tasks_serve_causal_models_too(name: str) -> None:
    patterns = load_task(name).patterns
    assert sum(pattern.mask_is_last for pattern in patterns) >= 2
    assert not all(pattern.mask_is_last for pattern in patterns)


@pytest.mark.parametrize(
    ("name", "labels", "patterns"),
    [
        ("ag_news", 4, 6),
        ("boolq", 2, 6),
        ("mnli", 3, 4),
        ("reuters", 8, 4),
        ("rte", 2, 5),
        ("yahoo", 10, 6),
        ("yelp_full", 5, 4),
        ("yelp_polarity", 2, 4),
    ],
)
def test_published_tasks_hold_all_published_patterns(name: str, labels: int, patterns: int) -> None:
    task = load_task(name)
    assert (len(task.labels), len(task.patterns)) == (labels, patterns)


def test_mnli_asks_with_other_words_under_its_last_two_patterns() -> None:
    task = load_task("mnli")
    first, last = task.patterns[0], task.patterns[-1]
    assert all(Boundary() in pattern.pieces for pattern in task.patterns)
    assert task.labels == ("contradiction", "entailment", "neutral")
    assert list(task.verbalizer(first.name).values()) == [("Wrong",), ("Right",), ("Maybe",)]
    assert list(task.verbalizer(last.name).values()) == [("No",), ("Yes",), ("Maybe",)]
    values = {"premise": "It rains.", "hypothesis": "It is wet."}
    assert first.fill(values, "Right") == '" It rains. " ? Right , " It is wet. "'


def test_rte_puts_the_hypothesis_first() -> None:
    assert load_task("rte").pattern("plain_comma").fields == ("hypothesis", "premise")


def test_the_example_in_the_readme_loads() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    example, *_ = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    task = parse_task(example, "README.md")
    assert [pattern.mask_is_last for pattern in task.patterns] == [False, True, False]


def test_the_readme_names_every_shipped_task() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in NAMES)
