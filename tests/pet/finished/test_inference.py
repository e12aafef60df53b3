"""Finished runs: label other pools, predict, evaluate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.config import CsvConfig
from pet.errors import InputError
from pet.finished.inference import evaluate_run, label_new_pool, predict_texts
from pet.pipeline import label_pool
from pet.progress import SILENT, Observer
from pet.storage.files import read_json
from tests.support import samples
from tests.support.run_files import label_rows

TEXTS: list[str | None] = ["the team won", None, "a rocket to the moon", "stock price", "the bank"]


@pytest.fixture
def new_pool(tmp_path: Path) -> Path:
    return samples.write_pool(tmp_path / "new.parquet", TEXTS)


def label(
    run: Path, pool: Path, out: Path, who: str = "student", text_column: str | None = None
) -> Any:
    return label_new_pool(run, str(pool), out, who, text_column, SILENT)


def test_labels_of_a_new_pool_say_of_their_origin_what_the_runs_own_say(
    tiny_run: Path, new_pool: Path, tmp_path: Path
) -> None:
    """A folder's name says little once the folder was renamed, and nothing of the model."""
    label(tiny_run, new_pool, tmp_path / "out", "student")
    own, new = (
        pq.read_metadata(folder / "part-00000.parquet").metadata
        for folder in (tiny_run / "labels", tmp_path / "out")
    )
    for name in (b"task", b"run", b"model", b"labeled_with", b"pet"):
        assert new[name] == own[name]
    label(tiny_run, new_pool, tmp_path / "ensemble", "ensemble")
    other = pq.read_metadata(tmp_path / "ensemble" / "part-00000.parquet").metadata
    assert other[b"labeled_with"] == b"ensemble"
    assert other[b"model"] != own[b"model"]


@pytest.mark.parametrize("who", ["student", "ensemble"])
def test_a_new_pool_is_labeled_and_then_reused(
    tiny_run: Path, new_pool: Path, tmp_path: Path, who: str
) -> None:
    written, reused, counts = label(tiny_run, new_pool, tmp_path / "out", who)
    assert (written, reused) == (1, 0)
    assert counts["rows"] == 4
    rows = label_rows(tmp_path / "out")
    assert [row["id"] for row in rows] == [f"new.parquet:{n}" for n in (0, 2, 3, 4)]
    for row in rows:
        assert (row["agreement"] is None) == (who == "student")
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("part-*")}
    assert label(tiny_run, new_pool, tmp_path / "out", who)[:2] == (0, 1)
    assert {path: path.read_bytes() for path in before} == before


def test_the_student_predicts_the_same_labels_of_the_pool_that_it_was_trained_on(
    tiny_run: Path, inputs_folder: Path, tmp_path: Path
) -> None:
    label(tiny_run, inputs_folder / "pool.parquet", tmp_path / "out")
    own = label_rows(tiny_run / "labels")
    for again, first in zip(label_rows(tmp_path / "out"), own, strict=True):
        assert again["id"] == first["id"]
        assert again["probabilities"] == pytest.approx(first["probabilities"], abs=1e-5)


def test_the_ensembles_labels_of_the_runs_own_pool_are_read_back_and_those_of_others_are_not(
    mixed_run: Path, inputs_folder: Path, tmp_path: Path, asked: list[int]
) -> None:
    """Members' scores are the dearest part of a run, and lie in its folder."""
    label(mixed_run, inputs_folder / "pool.parquet", tmp_path / "own", "ensemble")
    scored = sum(row["source"] == "ensemble" for row in label_rows(mixed_run / "labels"))
    assert sum(asked) == 37 - scored
    copy = tmp_path / "copy.csv"
    samples.write_csv(copy, [(text,) for text in samples.pool_texts() if text], ("text",))
    label(mixed_run, copy, tmp_path / "other", "ensemble")
    others = label_rows(tmp_path / "other")
    for row, other in zip(label_rows(tmp_path / "own"), others, strict=False):
        assert row["source"] == other["source"] == "ensemble"
        assert row["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
        assert row["agreement"] == other["agreement"]


def keep(run: Path, *columns: str) -> Path:
    """Let a run be one that was asked to keep columns."""
    samples.change_settings(run, keep_columns=columns)
    return run


def test_a_pool_without_a_column_to_keep_is_labeled_with_those_it_has(
    run_copy: Path, tmp_path: Path
) -> None:
    """Nobody can take the setting back: it is the finished run's."""
    notes: list[str] = []
    observer = Observer()
    observer.note = notes.append  # type: ignore[method-assign]
    pool = samples.write_csv(tmp_path / "new.csv", [("a goal", "7"), ("b", "8")], ("text", "n"))
    run = keep(run_copy, "n", "origin")
    label_new_pool(run, str(pool), tmp_path / "out", "student", None, observer)
    assert [(row["n"], "origin" in row) for row in label_rows(tmp_path / "out")] == [
        ("7", False),
        ("8", False),
    ]
    assert notes == ["warning: new.csv has no column 'origin': it is not kept"]


def test_a_column_of_types_that_do_not_meet_is_not_kept_of_a_new_pool(
    run_copy: Path, tmp_path: Path
) -> None:
    """Nobody can take the setting back: it is the finished run's."""
    pool = tmp_path / "pool"
    pool.mkdir()
    for name, values in (("a", pa.array([1])), ("b", pa.array([[1]]))):
        pq.write_table(pa.table({"text": ["x"], "n": values}), pool / f"{name}.parquet")
    label(keep(run_copy, "n"), pool, tmp_path / "out")
    assert [sorted({"n"} & row.keys()) for row in label_rows(tmp_path / "out")] == [[], []]


def test_an_evaluation_on_training_rows_is_warned_of(tiny_run: Path, inputs_folder: Path) -> None:
    found = evaluate_run(tiny_run, str(inputs_folder / "labeled.csv"), "student", SILENT)
    assert "12 of these texts are in the labeled set: a leak" in found["warnings"]
    found = evaluate_run(tiny_run, str(inputs_folder / "test.csv"), "student", SILENT)
    assert not any("leak" in line for line in found["warnings"])


def test_rows_that_are_not_labeled_are_listed_beside_the_labels(
    tiny_run: Path, new_pool: Path, tmp_path: Path
) -> None:
    counts = label(tiny_run, new_pool, tmp_path / "out")[2]
    assert counts["rejected"] == 1
    rejected = pq.read_table(counts["rejected_file"]).to_pylist()
    assert rejected == [{"file": "new.parquet", "row": 1, "reason": "no text"}]


def test_labels_of_another_predictor_are_not_overwritten(
    tiny_run: Path, new_pool: Path, tmp_path: Path
) -> None:
    label(tiny_run, new_pool, tmp_path / "out", "student")
    before = label_rows(tmp_path / "out")
    with pytest.raises(InputError, match="made from something else"):
        label(tiny_run, new_pool, tmp_path / "out", "ensemble")
    assert label_rows(tmp_path / "out") == before


def test_labels_of_another_text_column_are_not_reused(
    tiny_run: Path, new_pool: Path, tmp_path: Path
) -> None:
    label(tiny_run, new_pool, tmp_path / "out")
    with pytest.raises(InputError, match="made from something else"):
        label(tiny_run, new_pool, tmp_path / "out", text_column="origin")


def test_a_broken_label_file_is_refused_and_stays(
    tiny_run: Path, new_pool: Path, tmp_path: Path
) -> None:
    label(tiny_run, new_pool, tmp_path / "out")
    path = tmp_path / "out" / "part-00000.parquet"
    broken = path.read_bytes()[:-8]
    path.write_bytes(broken)
    with pytest.raises(InputError, match=r"part-00000\.parquet, made from something else"):
        label(tiny_run, new_pool, tmp_path / "out")
    assert path.read_bytes() == broken


def test_labels_never_overwrite_the_pool(tiny_run: Path, tmp_path: Path) -> None:
    """Spark names its files so, and `--out` may well be where the pool is."""
    (tmp_path / "data").mkdir()
    pool = samples.write_pool(tmp_path / "data" / "part-00000.parquet", TEXTS)
    before = pool.read_bytes()
    with pytest.raises(InputError):
        label(tiny_run, tmp_path / "data", tmp_path / "data")
    assert pool.read_bytes() == before


def test_labels_never_remove_files_of_others(
    tiny_run: Path, new_pool: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    other = samples.write_pool(tmp_path / "data" / "part-00007.parquet", ["precious"])
    with pytest.raises(InputError):
        label(tiny_run, new_pool, tmp_path / "data")
    assert other.exists()


def test_texts_are_predicted_with_every_labels_probability(tiny_run: Path) -> None:
    found = predict_texts(tiny_run, ["the team won", "a rocket"])
    assert [row["text"] for row in found] == ["the team won", "a rocket"]
    for row in found:
        assert list(row["probabilities"]) == list(samples.LABELS)
        assert row["confidence"] == row["probabilities"][row["label"]]
        assert row["abstain"] == (row["confidence"] < 0.4)


@pytest.mark.parametrize("texts", [[], [""], ["good", "  "]])
def test_an_empty_text_cannot_be_predicted(tiny_run: Path, texts: list[str]) -> None:
    with pytest.raises(InputError, match="texts that are not empty"):
        predict_texts(tiny_run, texts)


def test_an_evaluation_counts_true_and_predicted_labels(
    tiny_run: Path, inputs_folder: Path
) -> None:
    found = evaluate_run(tiny_run, str(inputs_folder / "test.csv"), "student", SILENT)
    confusion = np.array(found["confusion"])
    assert confusion.sum(1).tolist() == [3, 3, 3]
    assert found["accuracy"] == pytest.approx(confusion.trace() / 9, abs=1e-4)
    assert found["labels"] == list(samples.LABELS)
    assert (found["with"], found["rows"]) == ("student", 9)
    assert found["accuracy"] == read_json(tiny_run / "report.json")["test"]["student"]["accuracy"]


def test_a_test_set_with_unknown_labels_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    path = samples.write_csv(tmp_path / "t.csv", [("the game", "weather")], ("text", "label"))
    with pytest.raises(InputError, match="weather"):
        evaluate_run(tiny_run, str(path), "student", SILENT)


def test_fields_of_a_pair_are_separated_by_a_tab(
    config_for: Callable[..., Any], tmp_path: Path
) -> None:
    inputs = tmp_path / "pairs"
    inputs.mkdir()
    text = samples.task_toml(["category"]).replace('["text"]', '["text", "more"]')
    (inputs / "task.toml").write_text(text.replace("{text}", "{text} || {more}"))
    for name, texts in (("labeled", samples.labeled_rows()), ("test", samples.test_rows())):
        rows = [(first, "and more", label) for first, label in texts]
        samples.write_csv(inputs / f"{name}.csv", rows, ("text", "more", "label"))
    samples.write_csv(
        inputs / "pool.csv", [("news of", str(n), "") for n in range(8)], ("text", "more", "x")
    )
    config = config_for(inputs=inputs, pool=str(inputs / "pool.csv"), out=tmp_path / "run")
    label_pool(config)
    assert predict_texts(tmp_path / "run", ["the game\twas on"])[0]["label"] in samples.LABELS
    half = predict_texts(tmp_path / "run", ["the game\t", "\twas on"])  # as pools may have it
    assert [row["text"] for row in half] == ["the game\t", "\twas on"]
    for text in ("the game", " \t "):
        with pytest.raises(InputError, match=r"the 2 fields .* in this order, a tab in between"):
            predict_texts(tmp_path / "run", [text])


def test_a_text_column_for_a_task_of_several_fields_is_not_passed_over(
    run_copy: Path, inputs_folder: Path, tmp_path: Path
) -> None:
    """It was ignored, and the labels were of columns that the user had not meant."""
    toml = (run_copy / "task.toml").read_text().replace('["text"]', '["text", "source"]')
    (run_copy / "task.toml").write_text(toml)
    samples.change_settings(run_copy)
    pool, test = (str(inputs_folder / name) for name in ("pool.parquet", "test.csv"))
    with pytest.raises(InputError, match="a task with one field"):
        label_new_pool(run_copy, pool, tmp_path / "out", "student", "text", SILENT)
    with pytest.raises(InputError, match="a task with one field"):
        evaluate_run(run_copy, test, "student", SILENT, text_column="text")
    assert not (tmp_path / "out").exists()


def test_a_new_pool_may_be_written_in_another_way_than_the_runs_own(
    tiny_run: Path, tmp_path: Path
) -> None:
    pool = tmp_path / "new.csv"
    pool.write_text("id;text\nx;the team won, at last\n")
    csv = CsvConfig(delimiter=";")
    label_new_pool(tiny_run, str(pool), tmp_path / "out", "student", None, SILENT, csv)
    assert [row["id"] for row in label_rows(tmp_path / "out")] == ["x"]
    with pytest.raises(InputError, match="delimiter=';'"):
        label(tiny_run, pool, tmp_path / "other")
    pool.write_text("text;label\nthe team won;sport\n")
    assert evaluate_run(tiny_run, str(pool), "student", SILENT, csv=csv)["rows"] == 1
