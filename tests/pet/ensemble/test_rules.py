"""Rules in a run: they have a say in what is learned and predicted, and in nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.ensemble.logits import read_logits
from pet.errors import InputError
from pet.finished.finished_run import open_run
from pet.finished.predictors import ensemble_predictor
from pet.method.cross_fitting import unsoften
from pet.pipeline import label_pool
from pet.storage.files import read_record
from pet.storage.units import DONE
from tests.support import samples
from tests.support.run_files import scores_in


@pytest.fixture(scope="module")
def ruled_inputs(inputs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    inputs = Path(shutil.copytree(inputs_folder, tmp_path_factory.mktemp("ruled") / "inputs"))
    (inputs / "task.toml").write_text(samples.task_toml() + samples.RULES, encoding="utf-8")
    return inputs


@pytest.fixture(scope="module")
def ruled_run(
    ruled_inputs: Path,
    model_folder: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A run with rules and a generation after the first; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "ruled"
    changes: dict[str, Any] = {**samples.SHIPPED, "generations": 1}
    label_pool(samples.tiny_config(ruled_inputs, model_folder("bert"), out, **changes))
    return out


def test_the_report_says_where_rules_fire_and_how_often_they_are_right(ruled_run: Path) -> None:
    report = read_record(ruled_run / "report.json")
    assert list(report["rules"]) == ["rocket", "big", "silent"]
    rocket, silent = report["rules"]["rocket"], report["rules"]["silent"]
    texts = [text for text in samples.pool_texts() if text and text.strip()]
    share = np.mean(["rocket" in text or "orbit" in text for text in texts])
    assert rocket["coverage"] == pytest.approx(share, abs=1e-5)
    assert (silent["coverage"], silent["added"], silent["agreement"]) == (0, 0, None)
    rows = [label for text, label in samples.labeled_rows() if "rocket" in text or "orbit" in text]
    right = rows.count("space")
    assert report["labeled"]["rules"]["rocket"] == {"rows": len(rows), "right": right}
    assert set(report["test"]["rules"]) == set(report["rules"])
    page = (ruled_run / "report.html").read_text(encoding="utf-8")
    assert 'id="rules"' in page
    assert "1 of 3 rules never fire" in page
    assert "and 3 rules" in (ruled_run / "student" / "README.md").read_text(encoding="utf-8")


def test_soft_labels_have_what_rules_add_and_only_where_they_fire(ruled_run: Path) -> None:
    run = open_run(ruled_run)
    added = read_record(ruled_run / "soft_labels" / DONE)["rules"]
    assert added["rocket"] > 0
    fires = read_logits(ruled_run / "rules" / "pool.parquet")[1]
    soft = scores_in(ruled_run / "soft_labels")
    probabilities = unsoften(soft, run.config.temperature)
    precision = read_record(ruled_run / "report.json")["rules"]["rocket"]["precision"]
    alone = (fires[:, 0] > 0) & (fires[:, 1] == 0)  # where no rule of another label speaks
    assert probabilities[alone, 1].mean() >= precision - 0.05


def test_an_ensemble_that_is_loaded_predicts_with_rules_what_the_run_did(ruled_run: Path) -> None:
    run = open_run(ruled_run)
    texts = read_record(ruled_run / "report.json")["examples"]["doubtful"]
    ids, soft = read_logits(ruled_run / "soft_labels" / "part-00000.parquet")
    pool = {str(n): text for n, text in enumerate(samples.pool_texts())}
    assert texts
    columns = {"text": [pool[id.split(":")[-1]] or "" for id in ids]}
    found = ensemble_predictor(run)(columns, lambda amount: None).probabilities
    np.testing.assert_allclose(found, unsoften(soft, run.config.temperature), atol=1e-4)


def test_a_run_folder_whose_rules_were_changed_is_refused(ruled_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ruled_run, tmp_path / "copy"))
    task = (copy / "task.toml").read_text(encoding="utf-8")
    (copy / "task.toml").write_text(task.replace('"rocket"\n', '"rockets"\n'), encoding="utf-8")
    with pytest.raises(InputError, match="changed after the run"):
        open_run(copy)


def test_a_run_that_is_begun_again_makes_nothing_anew(
    ruled_run: Path, ruled_inputs: Path, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(ruled_run, tmp_path / "runs" / "ruled"))
    before = {path: path.stat().st_mtime_ns for path in copy.rglob(DONE)}
    shutil.rmtree(copy / "rule_precisions")
    shutil.rmtree(copy / "soft_labels")
    changes: dict[str, Any] = {**samples.SHIPPED, "generations": 1}
    label_pool(samples.tiny_config(ruled_inputs, model_folder("bert"), copy, **changes))
    now = {path: path.stat().st_mtime_ns for path in copy.rglob(DONE)}
    made = {path.parent.name for path in now if now[path] != before[path]}
    assert made == {"rule_precisions", "soft_labels"}
    for name in ("rule_precisions", "soft_labels", "rules"):
        assert read_record(copy / name / DONE) == read_record(ruled_run / name / DONE)


def test_a_slow_rule_leaves_no_run_folder_behind(
    own_inputs: Path, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    slow = "\n[[rules]]\nlabel = 'space'\nregex = '(?:(?:[a-z ]|[a-z ]{2})+)+$'\n"
    (own_inputs / "task.toml").write_text(samples.task_toml() + slow, encoding="utf-8")
    long = [("the rocket " * 40 + "!", "space"), *samples.labeled_rows()]
    samples.write_csv(own_inputs / "labeled.csv", long, ("text", "label"))
    out = tmp_path / "runs" / "slow"
    with pytest.raises(InputError, match="rule rule-1"):
        label_pool(samples.tiny_config(own_inputs, model_folder("bert"), out))
    assert not out.exists()


def test_rules_decide_nothing_in_a_run_without_labels_that_they_do_not_fire_in(
    own_inputs: Path, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    silent = "\n[[rules]]\nlabel = 'space'\nkeywords = ['zebra']\n"
    config = samples.tiny_config(
        own_inputs, model_folder("bert"), tmp_path / "plain", labeled=None, member={"steps": 0}
    )
    label_pool(config)
    (own_inputs / "task.toml").write_text(samples.task_toml() + silent, encoding="utf-8")
    label_pool(config.model_copy(update={"out": str(tmp_path / "silent")}))
    soft = [
        read_logits(tmp_path / name / "soft_labels" / "part-00000.parquet")[1]
        for name in ("plain", "silent")
    ]
    np.testing.assert_array_equal(*soft)
