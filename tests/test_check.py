"""A look before any training: what is wrong, what would be cut, what leaks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pet.check import check_inputs
from pet.errors import InputError
from tests import samples
from tests.conftest import ModelFolder


@pytest.fixture
def own(inputs_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(inputs_folder, tmp_path / "inputs"))


def check(folder: Path, model: Path | str | None = None, *settings: str, **changes: Any) -> Any:
    files = {"pool": str(folder / "pool.parquet"), "test": str(folder / "test.csv"), **changes}
    return check_inputs(
        str(folder / "task.toml"), str(folder / "labeled.csv"), files["pool"], files["test"],
        None if model is None else str(model), settings=("device=cpu", *settings),
    )  # fmt: skip


def test_without_a_model_the_files_and_filled_examples_are_shown(own: Path) -> None:
    before = sorted(path.name for path in own.iterdir())
    found = check(own)
    assert found["task"] == "tiny_news"
    assert found["labeled"]["rows"] == 12
    assert found["labeled"]["counts"] == dict.fromkeys(samples.LABELS, 4)
    assert found["pool"]["rows"] == 40
    assert found["warnings"] == []
    assert [pattern["name"] for pattern in found["patterns"]] == list(samples.PATTERNS)
    assert [pattern["causal"] for pattern in found["patterns"]] == [False, False, True]
    assert found["patterns"][0]["examples"][0] == "category: [sport]. the team won the game"
    assert sorted(path.name for path in own.iterdir()) == before


def test_with_a_model_words_tokens_and_accuracy_are_shown(
    own: Path, model_folder: ModelFolder
) -> None:
    found = check(own, model_folder("roberta"))
    assert found["kind"] == "masked"
    first = found["patterns"][0]
    assert first["words"]["sport"] == [{"word": "sport", "tokens": ["Ġsport"]}]
    assert [entry["word"] for entry in first["words"]["space"]] == ["space", "moon"]
    assert 0 <= first["zero_shot_accuracy"] <= 1
    assert first["shortened"] == 0
    assert found["estimate"]["minutes"] >= 0
    assert found["estimate"]["disk_mb"] > 0


def test_texts_that_would_be_shortened_are_counted(own: Path, model_folder: ModelFolder) -> None:
    rows = [
        *samples.labeled_rows()[:-2],
        ("the bank " * 40, "business"),
        ("stock " * 70, "business"),
    ]
    samples.write_csv(own / "labeled.csv", rows, ("text", "label"))
    found = check(own, model_folder("bert"), "max_length=32")
    assert [pattern["shortened"] for pattern in found["patterns"]] == [2, 2, 2]


def test_a_test_row_of_the_labeled_set_is_a_leak(own: Path) -> None:
    rows = [*samples.test_rows(), *samples.labeled_rows()[:2]]
    samples.write_csv(own / "test.csv", rows, ("text", "label"))
    (warning,) = check(own)["warnings"]
    assert "2 test rows stand in the labeled set" in warning


def test_a_label_without_an_example_is_warned_of(own: Path) -> None:
    samples.write_csv(own / "labeled.csv", samples.labeled_rows()[:8], ("text", "label"))
    (warning,) = check(own)["warnings"]
    assert "no example of the label 'business'" in warning


def test_problems_of_several_files_come_at_once(own: Path) -> None:
    samples.write_csv(own / "labeled.csv", [("the game", "sprot")], ("text", "label"))
    samples.write_csv(own / "test.csv", [("the game", "sport")], ("words", "label"))
    with pytest.raises(InputError, match="sprot") as caught:
        check(own, pool=str(own / "missing.parquet"))
    places = " ".join(problem.where for problem in caught.value.problems)
    for name in ("labeled.csv", "test.csv", "missing.parquet"):
        assert name in places


def test_a_missing_model_is_told_with_the_rest(own: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.parquet") as caught:
        check(own, "./no/such/model", pool=str(own / "missing.parquet"))
    assert "./no/such/model" in str(caught.value)


def test_words_that_no_pattern_can_ask_for_come_at_once(
    own: Path, model_folder: ModelFolder
) -> None:
    text = samples.task_toml().replace('business = "business"', 'business = "zebra"')
    (own / "task.toml").write_text(text)
    with pytest.raises(InputError, match="zebra") as caught:
        check(own, model_folder("bert"))
    assert len(caught.value.problems) == 3


def test_a_causal_model_says_which_patterns_qualify(own: Path, model_folder: ModelFolder) -> None:
    found = check(own, model_folder("gpt2"))
    assert found["kind"] == "causal"
    assert [pattern["name"] for pattern in found["patterns"]] == ["last"]
    assert "category, bracket" in found["warnings"][0]


def test_a_wrong_setting_is_refused(own: Path) -> None:
    with pytest.raises(InputError, match="setting nonsense"):
        check(own, None, "nonsense=1")


def test_without_pool_and_test_the_labeled_set_is_enough(
    own: Path, model_folder: ModelFolder
) -> None:
    found = check(own, model_folder("bert"), pool=None, test=None)
    assert "pool" not in found
    assert "estimate" not in found
