"""A run of labels that are a tree: label files, the report and predictions."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from pyarrow.dataset import dataset
from typer.testing import CliRunner

from flows.cli import app
from pet.errors import InputError
from pet.finished.inference import evaluate_run, label_new_pool, predict_texts
from pet.nightly.night import label_new
from pet.progress import SILENT
from pet.reporting.report_page import write_page
from pet.storage.files import read_record
from tests.support import samples
from tests.support.nights import night_settings
from tests.support.run_files import label_rows
from tests.support.shared import Shared

RENAMED = {"sport": "people/sport", "business": "people/business", "space": "space"}


def write_tree(folder: Path) -> None:
    """Write the tiny task, two of its labels below one parent."""
    samples.write_inputs(folder)
    text = samples.task_toml().replace("fields =", 'label_separator = "/"\nfields =')
    for old, new in (("sport = ", '"people/sport" = '), ("business = ", '"people/business" = ')):
        text = text.replace(f"\n{old}", f"\n{new}")
    (folder / "task.toml").write_text(text)
    for name in ("labeled.csv", "test.csv"):
        with (folder / name).open(newline="") as stream:
            header, *rows = csv.reader(stream)
        samples.write_csv(folder / name, [(text, RENAMED[label]) for text, label in rows], header)


@pytest.fixture(scope="session")
def tree_inputs(shared: Shared) -> Path:
    return shared.folder("tree", write_tree)


@pytest.fixture(scope="session")
def tree_run(finished_run: Callable[..., Path], tree_inputs: Path) -> Path:
    files = {"task": "task.toml", "labeled": "labeled.csv", "test": "test.csv"}
    given = {name: str(tree_inputs / file) for name, file in files.items()}
    return finished_run("tree", abstain_below=0.5, **given)


def test_a_row_stops_at_a_parent_where_its_children_are_unsure(tree_run: Path) -> None:
    """The run abstains below .5: of three labels none is likelier, two together are."""
    rows = label_rows(tree_run / "labels")
    assert {row["node"] for row in rows} >= {"people"}
    for row in rows:
        top, leaf = row["levels"]
        own = row["probabilities"]
        people = own["people/sport"] + own["people/business"]
        assert top["label"] == ("people" if people > own["space"] else "space")
        assert top["probability"] == pytest.approx(max(people, own["space"]), abs=1e-5)
        assert leaf["probability"] == pytest.approx(own[leaf["label"]], abs=1e-5)
        assert leaf["label"].startswith(top["label"])
        assert [top["abstain"], leaf["abstain"]] == [
            own["probability"] < 0.5 for own in (top, leaf)
        ]
        stops = [own["label"] for own in row["levels"] if not own["abstain"]]
        assert row["node"] == (stops[-1] if stops else None)


def test_the_report_has_each_level(tree_run: Path) -> None:
    report = read_record(tree_run / "report.json")
    for name in ("student", "ensemble", "supervised"):
        top, leaves = report["test"][name]["levels"]
        assert (top["nodes"], leaves["nodes"]) == (2, 3)
        assert top["accuracy"] >= leaves["accuracy"]
    unsure = [
        sum(row["levels"][level]["abstain"] for row in label_rows(tree_run / "labels"))
        for level in (0, 1)
    ]
    assert report["labels"]["unsure_of_level"] == unsure
    page = write_page(tree_run).read_text()
    assert "Levels of the tree" in page
    assert "Confusion matrix" in page


def test_predictions_of_a_finished_run_go_down_the_tree(
    tree_run: Path, tree_inputs: Path, tmp_path: Path
) -> None:
    rows = label_rows(tree_run / "labels")
    texts = [text for text in samples.pool_texts() if text and text.strip()]
    for row, found in zip(rows, predict_texts(tree_run, texts), strict=True):
        assert found["node"] == row["node"]
        assert [own["label"] for own in found["levels"]] == [own["label"] for own in row["levels"]]
    out = str(tmp_path / "again")
    label_new_pool(tree_run, str(tree_inputs / "pool.parquet"), out, "student", None, SILENT)
    again = dataset(sorted(map(str, Path(out).glob("part-*.parquet")))).to_table()
    assert again["node"].to_pylist() == [row["node"] for row in rows]
    found = evaluate_run(tree_run, str(tree_inputs / "test.csv"), "student", SILENT)
    assert found["levels"] == read_record(tree_run / "report.json")["test"]["student"]["levels"]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["predict", str(tree_run), texts[0]])
    assert "stops at people" in shown.stdout


def test_a_night_writes_how_far_down_each_row_is_sure(
    tree_run: Path, tree_inputs: Path, tmp_path: Path
) -> None:
    config = night_settings(tmp_path, tree_run, tree_inputs / "labeled.csv")
    shutil.copy(tree_inputs / "pool.parquet", tmp_path / "pool" / "monday.parquet")
    night = label_new(config)
    files = sorted(map(str, Path(night["labels"]).rglob("part-*.parquet")))
    found = dataset(files).to_table().to_pylist()
    own = label_rows(tree_run / "labels")
    for row, known in zip(found, own, strict=True):
        assert row["node"] == known["node"]
        assert [own["label"] for own in row["levels"]] == [own["label"] for own in known["levels"]]


def test_columns_of_a_tree_are_not_kept_columns(
    tree_inputs: Path, config_for: Callable[..., object], tmp_path: Path
) -> None:
    from pet.pipeline import label_pool

    pool = pq.read_table(tree_inputs / "pool.parquet")
    pool = pool.append_column("levels", pa.array(np.arange(len(pool))))
    pq.write_table(pool, tmp_path / "pool.parquet")
    config = config_for(
        inputs=tree_inputs, pool=str(tmp_path / "pool.parquet"), keep_columns=["levels"]
    )
    with pytest.raises(InputError, match="label files have a column of that name"):
        label_pool(config)  # type: ignore[arg-type]
