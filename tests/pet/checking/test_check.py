"""A look before any training: what is wrong, what would be cut, what leaks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.checking.check import check_inputs
from pet.errors import InputError
from tests.conftest import ModelFolder
from tests.support import samples


@pytest.fixture
def own(inputs_folder: Path, tmp_path: Path) -> Path:
    """The inputs of a run, without the rows of their pool that are no good."""
    folder = Path(shutil.copytree(inputs_folder, tmp_path / "inputs"))
    texts = [
        text if text and text.strip() else f"the news {row}"
        for row, text in enumerate(samples.pool_texts())
    ]
    samples.write_pool(folder / "pool.parquet", texts)
    return folder


def check(
    folder: Path,
    model: Path | str | None = None,
    *settings: str,
    budget: str | None = None,
    **changes: Any,
) -> Any:
    options = {
        "task": str(folder / "task.toml"),
        "labeled": str(folder / "labeled.csv"),
        "pool": str(folder / "pool.parquet"),
        "test": str(folder / "test.csv"),
        "model": None if model is None else str(model),
        **changes,
    }
    return check_inputs(options, ("device=cpu", *settings), budget)


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
    assert found["patterns"][0]["examples"][0] == {
        "before": "category: ",
        "word": "sport",
        "after": ". the team won the game",
        "cut": 0,
    }
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


def test_rows_that_cannot_be_used_are_reported_before_a_run_rejects_them(own: Path) -> None:
    samples.write_pool(own / "pool.parquet", samples.pool_texts())
    for name, rows in (("labeled.csv", samples.labeled_rows()), ("test.csv", samples.test_rows())):
        samples.write_csv(own / name, [*rows, ("no label here", "")], ("text", "label"))
    warnings = "\n".join(check(own)["warnings"])
    assert "labeled.csv: 1 of 13 rows cannot be used: no label (1); the first: row 12" in warnings
    assert f"test.csv: 1 of {len(samples.test_rows()) + 1} rows cannot be used" in warnings
    assert "pool.parquet: 3 of 40 rows cannot be used: " in warnings


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([None, " "] * 5, "at least one row with text(.|\n)*10 rows, none of them usable"),
        (["some text", None] * 5, "at most 10% unusable rows(.|\n)*5 or more of 10"),
        ([samples.labeled_rows()[0][0]], "neither labeled nor test set(.|\n)*learn_from_labeled"),
    ],
)
def test_a_pool_that_a_run_would_refuse_is_refused_at_once(
    own: Path, texts: list[str | None], message: str
) -> None:
    samples.write_pool(own / "pool.parquet", texts)
    with pytest.raises(InputError, match=message):
        check(own)


def test_a_test_row_of_the_labeled_set_is_a_leak(own: Path) -> None:
    rows = [*samples.test_rows(), *samples.labeled_rows()[:2]]
    samples.write_csv(own / "test.csv", rows, ("text", "label"))
    (warning,) = check(own)["warnings"]
    assert "2 test rows are in the labeled set" in warning


def test_a_test_row_that_is_a_near_duplicate_of_a_labeled_one_is_reported(own: Path) -> None:
    long = "the bank raised its rates again, and the shares of the company fell by a tenth"
    samples.write_csv(
        own / "labeled.csv", [*samples.labeled_rows(), (long, "business")], ("text", "label")
    )
    rows = [*samples.test_rows(), (long.replace("tenth", "tenth!"), "business")]
    samples.write_csv(own / "test.csv", rows, ("text", "label"))
    found = check(own)["duplicates"]
    assert found["test_near_labeled"] == 1
    assert found["test_examples"] == [[f"{long}!", long]]


def test_tokens_that_are_cut_from_an_example_are_counted(
    own: Path, model_folder: ModelFolder
) -> None:
    rows = [("the bank " * 40, "business"), *samples.labeled_rows()]
    samples.write_csv(own / "labeled.csv", rows, ("text", "label"))
    found = check(own, model_folder("bert"), "max_length=32")
    cut = [example["cut"] for example in found["patterns"][0]["examples"]]
    assert cut[0] > 40
    assert cut[1] == 0
    assert "bank bank" not in found["patterns"][0]["examples"][0]["after"]


def test_labels_in_doubt_and_pool_shares_come_from_all_patterns(
    own: Path, model_folder: ModelFolder
) -> None:
    found = check(own, model_folder("bert"))
    assert sum(found["zero_shot"]["pool_shares"].values()) == pytest.approx(1, abs=1e-3)
    assert found["zero_shot"]["pool_rows"] == 40
    for suspect in found["suspects"]:
        assert suspect["label"] != suspect["likelier"]


def test_a_label_that_is_the_likeliest_one_all_the_same_is_in_no_doubt(
    own: Path, model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pet.checking.check.find_label_issues", lambda scores, given: np.arange(len(given))
    )
    monkeypatch.setattr("pet.checking.check.surely_beats_commonest", lambda *_: True)
    found = check(own, model_folder("bert"))["suspects"]
    assert found
    assert [row for row in found if row["label"] == row["likelier"]] == []


def test_a_model_that_knows_no_more_than_the_commonest_label_doubts_nobody(
    own: Path, model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that it named was labeled rightly: spam that it took for the commoner ham."""
    monkeypatch.setattr(
        "pet.checking.check.find_label_issues", lambda scores, given: np.arange(len(given))
    )
    monkeypatch.setattr("pet.checking.check.surely_beats_commonest", lambda *_: False)
    rows = [*samples.labeled_rows(), *[(f"goal {n}", "sport") for n in range(40)]]
    samples.write_csv(own / "labeled.csv", rows, ("text", "label"))
    found = check(own, model_folder("bert"))
    assert found["suspects"] == []
    most = sum(label == "sport" for _, label in rows) / len(rows)
    assert found["zero_shot"]["most_frequent"] == pytest.approx(most, abs=1e-4)


def test_without_labeled_texts_a_zero_shot_start_is_previewed(
    own: Path, model_folder: ModelFolder
) -> None:
    found = check(own, model_folder("bert"), labeled=None)
    assert "accuracy" not in found["zero_shot"]
    assert found["patterns"][0]["examples"] == []
    assert found["suspects"] == []
    assert found["estimate"]["minutes"] >= 0


def test_neither_labeled_texts_nor_pool_is_a_mistake(own: Path) -> None:
    with pytest.raises(InputError, match="add --labeled or --pool") as caught:
        check(own, labeled=None, pool=None, test=None)
    assert len(caught.value.problems) == 1, "nor is a pool missing that nobody named"


def test_the_estimate_counts_what_these_settings_train(
    own: Path, model_folder: ModelFolder
) -> None:
    trained = check(own, model_folder("bert"), "train_from=0", "generations=0")["estimate"]
    asked = check(own, model_folder("bert"), "member.steps=0")["estimate"]
    assert trained["members"] == asked["members"] == len(samples.PATTERNS)
    assert trained["disk_mb"] > asked["disk_mb"]
    assert "embeddings" not in asked["seconds"]


def test_labeled_rows_that_a_run_would_not_learn_from_are_named_before_it(
    own: Path, model_folder: ModelFolder
) -> None:
    found = check(own, model_folder("bert"), "member.steps=0")["unused"]
    assert "no model learns from the 12 labeled rows" in found
    assert not check(own, model_folder("bert"), "train_from=0", "generations=0")["unused"]


def test_words_of_several_tokens_are_counted_in_passes(
    own: Path, model_folder: ModelFolder
) -> None:
    task = own / "task.toml"
    task.write_text(task.read_text().replace('= "sport"', '= "stock price"'))
    found = check(own, model_folder("bert"))
    # One pass for words of one token, two for the one of two.
    assert [pattern["passes"] for pattern in found["patterns"]] == [3, 3, 3]


def test_a_budget_is_shown_before_it_is_run(own: Path, model_folder: ModelFolder) -> None:
    found = check(own, model_folder("bert"), budget="10h")
    assert found["budget"]["settings"] == {}
    assert "nothing is left out" in found["budget"]["summary"]
    with pytest.raises(InputError, match="such as 90s"):
        check(own, model_folder("bert"), budget="10x")


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


def test_a_missing_model_is_reported_with_the_rest(own: Path) -> None:
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
    [problem] = caught.value.problems
    assert problem.where == (
        "pattern category, pattern bracket, pattern last, label 'business', word 'zebra'"
    )


def test_a_model_that_cannot_read_the_texts_is_reported_first(
    own: Path, model_folder: ModelFolder
) -> None:
    """Chinese reviews passed with an English model, which read three of four tokens as [UNK]."""
    samples.write_pool(own / "pool.parquet", ["房间很干净 sport", "早餐的种类太少"] * 10)
    found = check(own, model_folder("bert"), student_model=str(model_folder("gpt2")))["unread"]
    assert len(found) == 2
    assert "of the tokens are unknown in pool rows" in found[0]
    assert "labeled rows" not in found[0]
    assert "--model xlm-roberta-base" in found[0]
    assert "tokens a word in pool rows" in found[1]
    assert "--student-model" in found[1]
    assert check(own, model_folder("bert"), pool=None)["unread"] == []


def test_where_words_are_unknown_too_the_language_comes_first(
    own: Path, model_folder: ModelFolder
) -> None:
    task = samples.task_toml().replace('business = "business"', 'business = "商业"')
    (own / "task.toml").write_text(task, encoding="utf-8")
    samples.write_pool(own / "pool.parquet", ["房间很干净", "早餐的种类太少"] * 10)
    with pytest.raises(InputError) as caught:
        check(own, model_folder("bert"))
    first, second = caught.value.problems
    assert first.expected == "a model that can read the language of the texts"
    assert "商业" in second.where


def test_rows_that_are_cut_are_counted_by_who_reads_them(
    own: Path, model_folder: ModelFolder
) -> None:
    samples.write_pool(own / "pool.parquet", ["the bank", "the bank " * 20] * 10)
    settings = ("max_length=32", "student_max_length=64")
    found = check(own, model_folder("bert"), *settings)["cut"]
    assert found == {
        "teacher": {"max_length": 32, "labeled": 0, "pool": 0.5, "test": 0},
        "student": {"max_length": 64, "labeled": 0, "pool": 0, "test": 0},
    }


def test_every_label_has_its_rows_and_those_that_are_right(
    own: Path, model_folder: ModelFolder
) -> None:
    found = check(own, model_folder("bert"))["zero_shot"]
    assert [of["rows"] for of in found["by_label"].values()] == [4, 4, 4]
    right = sum(of["right"] for of in found["by_label"].values())
    assert right / 12 == pytest.approx(found["accuracy"], abs=1e-4)


def test_of_a_causal_model_the_patterns_that_qualify_are_named(
    own: Path, model_folder: ModelFolder
) -> None:
    found = check(own, model_folder("gpt2"))
    assert found["kind"] == "causal"
    assert [pattern["name"] for pattern in found["patterns"]] == ["last"]
    assert "category, bracket" in found["warnings"][0]


@pytest.mark.parametrize(
    ("kind", "settings", "match"),
    [
        ("granite", (), "a classification head(.|\n)*--student-model"),
        ("deberta", ("member.tuning=prefix",), "another but prefix"),
        ("bert", ("member.tuning=lora", "init_from=nowhere"), "a run with adapters"),
    ],
)
def test_what_a_run_would_refuse_is_refused(
    own: Path, model_folder: ModelFolder, kind: str, settings: tuple[str, ...], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        check(own, model_folder(kind), *settings)


def test_a_wrong_setting_is_refused(own: Path) -> None:
    with pytest.raises(InputError, match="setting nonsense"):
        check(own, None, "nonsense=1")


def test_without_pool_and_test_the_labeled_set_is_enough(
    own: Path, model_folder: ModelFolder
) -> None:
    found = check(own, model_folder("bert"), pool=None, test=None)
    assert "pool" not in found
    assert "estimate" not in found
