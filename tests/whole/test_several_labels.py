"""A run of several labels a text, from the task file to predictions; and what refuses such runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pet.checking.check import check_inputs
from pet.checking.zero_shot import label_zero_shot
from pet.errors import InputError
from pet.estimator import PetClassifier
from pet.finished.comparison import compare_labels
from pet.finished.exports import export_run
from pet.finished.inference import evaluate_run, label_new_pool, predict_texts
from pet.nightly.model_choice import FirstRun
from pet.nightly.nightly_config import NightlyConfig
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.reporting.report_page import write_page
from pet.storage.files import read_record
from tests.conftest import ModelFolder
from tests.support import samples


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def labels_of(folder: Path) -> pa.Table:
    files = sorted((folder / "labels").glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(path) for path in files])


def test_label_files_hold_lists_probabilities_and_what_is_in_doubt(several_run: Path) -> None:
    table = labels_of(several_run)
    assert table.schema.field("labels").type == pa.list_(pa.string())
    assert "label" not in table.column_names
    thresholds = read_record(several_run / "student" / "pet.json")["thresholds"]
    for row in table.to_pylist():
        chances = list(row["probabilities"].values())
        given = [n for n, p, t in zip(samples.LABELS, chances, thresholds, strict=True) if p >= t]
        assert row["labels"] == given
        sure = [p if n in given else 1 - p for n, p in zip(samples.LABELS, chances, strict=True)]
        assert list(row["abstain"].values()) == [own < 0.4 for own in sure]
        assert row["confidence"] == pytest.approx(np.prod(sure), abs=1e-5)


def test_probabilities_are_of_each_label_by_itself(several_run: Path) -> None:
    sums = [sum(row.values()) for row in labels_of(several_run)["probabilities"].to_pylist()]
    assert max(abs(total - 1) for total in sums) > 0.01


def test_the_report_has_f1_and_every_label_and_what_goes_together(several_run: Path) -> None:
    report = read_record(several_run / "report.json")
    student = report["test"]["student"]
    assert 0 <= student["micro_f1"] <= 1
    assert [own["rows"] for own in student["by_label"]] == [2, 2, 1]
    assert "confusion" not in student
    assert report["sets"]["labeled"] | {"rows": 0} == {
        "rows": 0,
        "counts": {"sport": 4, "space": 4, "business": 4},
        "without": 3,
        "together": [[4, 1, 1], [1, 4, 1], [1, 1, 4]],
    }
    page = write_page(several_run).read_text()
    assert "Label by label" in page
    assert "Confusion matrix" not in page
    assert "any of 3 labels" in page


def test_plain_transformers_gives_each_label_the_probability_of_the_label_files(
    several_run: Path,
) -> None:
    from transformers import pipeline

    student = several_run / "student"
    assert json.loads((student / "config.json").read_text())["problem_type"] == (
        "multi_label_classification"
    )
    classify = pipeline("text-classification", model=str(student), device="cpu")
    text = samples.pool_texts()[0]
    found = classify(text, top_k=None, truncation=True, max_length=32)
    own = labels_of(several_run).to_pylist()[0]["probabilities"]
    assert {row["label"]: row["score"] for row in found} == pytest.approx(own, abs=1e-3)


def test_texts_are_predicted_and_a_pool_is_labeled_as_in_the_run(
    several_run: Path, several_inputs: Path, tmp_path: Path
) -> None:
    texts = [text for text in samples.pool_texts() if text and text.strip()][:5]
    rows = labels_of(several_run).to_pylist()
    for row, found in zip(rows, predict_texts(several_run, texts), strict=False):
        assert found["labels"] == row["labels"]
        assert found["abstain"] == [name for name, own in row["abstain"].items() if own]
    for who in ("student", "ensemble"):
        out = tmp_path / who
        pool = str(several_inputs / "pool.parquet")
        _, _, counts = label_new_pool(several_run, pool, out, who, None, SILENT)
        assert counts["rows"] == 37
        assert {"without", "together"} <= counts.keys()
    own = pq.read_table(tmp_path / "student" / "part-00000.parquet")["labels"].to_pylist()
    assert own == [row["labels"] for row in rows[: len(own)]]


def test_a_run_is_evaluated_on_new_sets_of_labels(several_run: Path, several_inputs: Path) -> None:
    test = str(several_inputs / "test.parquet")
    report = read_record(several_run / "report.json")["test"]
    for who in ("student", "ensemble"):
        found = evaluate_run(several_run, test, who, SILENT)
        for name in ("micro_f1", "macro_f1", "accuracy", "ece"):
            assert found[name] == report[who][name], (who, name)


def test_a_killed_run_that_goes_on_gives_the_same_bytes(
    several_inputs: Path, several_run: Path, config_for: Callable[..., Any], tmp_path: Path
) -> None:
    config = config_for(**samples.several(several_inputs, **samples.SHIPPED))
    out = Path(config.out)

    class Kill(Exception):
        pass

    class Killing(type(SILENT)):  # type: ignore[misc]
        def begin(self, stage: str, total: int | None, unit: str) -> None:
            if "student" in stage:
                raise Kill

    with pytest.raises(Kill):
        label_pool(config, observer=Killing())
    assert not (out / "labels").exists()
    label_pool(config)
    for path in (several_run / "labels").glob("*.parquet"):
        known, own = (pq.read_table(folder / path.name) for folder in (path.parent, out / "labels"))
        assert known.equals(own), path.name
    for name in ("student/model.safetensors", "student/pet.json"):
        assert (out / name).read_bytes() == (several_run / name).read_bytes(), name


@pytest.mark.parametrize(
    "changes",
    [
        {"generations": 1, "growth_factor": 2},
        {"generations": 1, "train_from": 8, "encoder": "bert", "drawn_labels": "hard"},
        {"weights": "agreement", "member": {"steps": 2, "batch_size": 4, "tuning": "lora"}},
    ],
)
def test_generations_encoder_and_adapters_end_in_labels(
    changes: dict[str, Any],
    several_inputs: Path,
    config_for: Callable[..., Any],
    model_folder: ModelFolder,
) -> None:
    if "encoder" in changes:
        changes = {**changes, "encoder": str(model_folder("bert"))}
    report = label_pool(config_for(**samples.several(several_inputs, **changes)))
    assert report["labels"]["rows"] == 37
    assert all(weight >= 0 for weight in report["weights"].values())


def test_check_shows_how_well_each_label_is_ranked(
    several_inputs: Path, model_folder: ModelFolder
) -> None:
    options = samples.several(several_inputs, model=str(model_folder("bert")))
    found = check_inputs({**options, "pool": str(several_inputs / "pool.parquet")})
    assert found["labeled"]["counts"] == {"sport": 4, "space": 4, "business": 4}
    assert set(found["zero_shot"]["areas"]) == set(samples.LABELS)
    assert found["estimate"]["members"] > 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"labeled": None, "test": None}, "labeled rows"),
        ({"calibration": "none"}, "calibration"),
        ({"member": {"steps": 0}, "joint": {"steps": 2}}, "joint.steps"),
        ({"preset": "paper"}, "preset"),
        ({"keep_columns": ["labels"]}, "keep_columns"),
    ],
)
def test_settings_that_are_not_built_are_refused_before_anything_is_written(
    changes: dict[str, Any], named: str, several_inputs: Path, config_for: Callable[..., Any]
) -> None:
    config = config_for(**samples.several(several_inputs, **changes))
    with pytest.raises(InputError, match=named):
        label_pool(config)
    assert not Path(config.out).exists()


def test_what_knows_one_label_a_text_refuses_the_run_and_writes_nothing(
    several_run: Path, several_inputs: Path, model_folder: ModelFolder, tmp_path: Path
) -> None:
    pool, out = str(several_inputs / "pool.parquet"), tmp_path / "out"
    night = NightlyConfig(run=str(several_run), pool=pool, out=str(out))
    task, bert = str(several_inputs / "task.toml"), str(model_folder("bert"))
    texts, known = ["a", "b"], ["sport", "space"]
    before = contents(several_run)
    for refused in (
        lambda: FirstRun(night),
        lambda: label_zero_shot(task, pool, str(out), bert, SILENT),
        lambda: compare_labels(several_run, several_run),
        lambda: export_run(several_run, "csv", out),
        lambda: PetClassifier(task=task, model=bert).fit(texts, known),
    ):
        with pytest.raises(InputError, match="one label a text"):
            refused()
    assert not out.exists()
    assert contents(several_run) == before


def test_one_label_and_several_do_not_share_a_run_folder(
    several_inputs: Path, several_run: Path, config_for: Callable[..., Any], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(several_run, tmp_path / "copy"))
    with pytest.raises(InputError):
        label_pool(config_for(out))
