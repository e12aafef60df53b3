"""Suggested label words: what is shown, when they are recommended, what is pasted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.checking import word_suggestions
from pet.checking.check import check_inputs
from pet.checking.word_suggestions import suggestion_toml
from pet.errors import InputError
from pet.tasks.task import parse_task
from pet.tasks.task_draft import quoted
from tests.conftest import ModelFolder
from tests.support import samples


def check(folder: Path, model: Path | None, **changes: Any) -> Any:
    files = {"task": str(folder / "task.toml"), "labeled": str(folder / "labeled.csv")}
    options = {**files, "model": None if model is None else str(model), **changes}
    return check_inputs(options, ("device=cpu", "max_length=32"), with_words=True)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_what_is_pasted_is_a_task_that_knows_its_rows(
    own_inputs: Path, model_folder: ModelFolder, kind: str
) -> None:
    found = check(own_inputs, model_folder(kind))["suggested"]
    assert found["rows"] == 12
    assert 0 <= found["own"] <= 1
    before = (own_inputs / "task.toml").read_text()
    task = parse_task(f"{before}\n{found['toml']}", "t")
    for label, words in found["words"].items():
        assert task.verbalizer("last")[label] == (*task.own_words["last"][label], *words)
    columns = {"text": [text for text, _ in samples.labeled_rows()] + ["another one"]}
    assert task.rows_of_words(columns).tolist() == list(range(12))
    assert (own_inputs / "task.toml").read_text() == before


def test_after_pasting_the_rows_are_known_to_be_seen_and_the_own_words_still_measured(
    own_inputs: Path, model_folder: ModelFolder
) -> None:
    model = model_folder("bert")
    first = check(own_inputs, model)["suggested"]
    with (own_inputs / "task.toml").open("a") as stream:
        stream.write(f"\n{first['toml']}")
    again = check(own_inputs, model)
    assert again["suggested"] == first
    assert any("chosen on 12 of these labeled rows" in line for line in again["warnings"])


def test_words_are_recommended_only_where_they_do_better() -> None:
    truth = np.zeros(8, dtype=np.int64)
    right, wrong = truth, truth + 1
    assert word_suggestions.is_better(truth, wrong, right)
    assert not word_suggestions.is_better(truth, right, right)
    assert not word_suggestions.is_better(truth, right, wrong)


def test_few_rows_suggest_nothing(own_inputs: Path, model_folder: ModelFolder) -> None:
    samples.write_csv(own_inputs / "labeled.csv", samples.labeled_rows()[:7], ("text", "label"))
    assert check(own_inputs, model_folder("bert"))["suggested"] is None


def test_labels_and_words_of_any_kind_are_pasted_as_text() -> None:
    toml = suggestion_toml({'a"]\n[x': ("b\\",), "c": ()}, ["0" * 16])
    document = quoted('a"]\n[x')
    assert toml.startswith(f"[suggested_words]\n{document} = ")
    assert '"c"' not in toml


def test_without_a_model_or_rows_it_says_what_to_add(own_inputs: Path) -> None:
    with pytest.raises(InputError, match="add --labeled and --model"):
        check(own_inputs, None)


def test_tasks_of_several_labels_are_refused(tmp_path: Path, model_folder: ModelFolder) -> None:
    folder = samples.write_several(tmp_path / "several")
    shutil.copy(folder / "labeled.parquet", folder / "labeled.csv.parquet")
    with pytest.raises(InputError, match="suggest-words"):
        check(folder, model_folder("bert"), labeled=str(folder / "labeled.parquet"))
