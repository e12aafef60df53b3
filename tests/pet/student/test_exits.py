"""A run whose student has early exits: fitted, used for labels alone, reused, resumed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pet.checking.check import check_inputs
from pet.config import RunConfig
from pet.errors import InputError
from pet.finished.finished_run import open_run
from pet.finished.inference import label_new_pool
from pet.finished.predictors import predictor_of, student_of
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.reading import open_session
from pet.method.early_exit import choose_threshold
from pet.pipeline import label_pool
from pet.progress import SILENT, no_tick
from pet.reporting.report_page import write_page
from pet.storage.files import read_json
from pet.storage.units import file_digest
from pet.student import distillation, exits
from pet.student.exits import held_out_rows
from tests.conftest import ModelFolder
from tests.support import samples

TEXTS = ["the team won the game", "a rocket to the moon", "the bank said the price was bad today"]
STUDENT = {"student": {**samples.TINY["student"], "exits": True}}


@pytest.fixture(scope="module", autouse=True)
def half_of_the_rows_leave() -> Iterator[None]:
    """The tiny pool has 40 rows: no threshold could be chosen by a fifth of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exits, "choose_threshold", lambda confidence, _: float(np.median(confidence)))
        yield


@pytest.fixture(scope="module")
def config(
    inputs_folder: Path, model_folder: ModelFolder, tmp_path_factory: pytest.TempPathFactory
) -> RunConfig:
    out = tmp_path_factory.mktemp("exits") / "run"
    return samples.tiny_config(
        inputs_folder, model_folder("bert"), out, **samples.SHIPPED, **STUDENT
    )


@pytest.fixture(scope="module")
def run(config: RunConfig) -> Path:
    """A finished run with early exits; not to be changed."""
    label_pool(config)
    return Path(config.out)


def labels_of(folder: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(sorted(folder.glob("part-*.parquet"))).to_pylist()
    return {row["id"]: row for row in rows}


def test_rows_that_choose_the_threshold_teach_neither_student_nor_heads(
    run: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of rows that it has learned a student is surer than of others: too many would leave."""
    session = open_session(config)
    labels, taught = len(session.task.labels), list[int]()

    def note(_model: Any, _encoder: Any, _texts: Any, rows: Any, *_: Any, **__: Any) -> list[float]:
        taught.extend(rows.tolist())
        return []

    monkeypatch.setattr(distillation, "train", note)
    monkeypatch.setattr(distillation, "fit_head_first", note)
    distillation._distil(
        session, np.ones((len(unlabeled_rows(session)), labels), np.float32) / labels
    )
    held_out = held_out_rows(session)
    assert len(held_out) == read_json(run / "exits" / "done.json")["held_out"]["rows"]
    assert not set(held_out.tolist()) & set(taught)
    assert len(set(taught) | set(held_out.tolist())) == unlabeled_rows(session).trainable.sum()


def test_rows_that_leave_have_the_labels_of_their_layer(run: Path, config: RunConfig) -> None:
    opened = open_run(run)
    plain, own = (predictor_of(opened, "student", exits=on) for on in (False, True))
    columns = {"text": [text for text in pq.read_table(config.pool)["text"].to_pylist() if text]}
    before, found = plain(columns, no_tick), own(columns, no_tick)
    assert before.layers is None
    assert found.layers is not None
    stayed = found.layers == 2
    assert 0 < stayed.sum() < len(stayed), "some rows leave, and some do not"
    np.testing.assert_allclose(found.probabilities[stayed], before.probabilities[stayed], atol=1e-5)
    assert (np.abs(found.probabilities - before.probabilities)[~stayed] > 1e-3).any()
    written = labels_of(run / "labels")
    surest = {tuple(row["probabilities"].values()) for row in written.values()}
    assert len(surest) > len(stayed) / 2
    report = read_json(run / "report.json")
    assert sum(report["labels"]["layers"]) == report["labels"]["sources"]["student"]
    assert 0 < report["labels"]["layers"][0] < sum(report["labels"]["layers"])


def test_predictions_and_evaluations_are_the_students_own(run: Path) -> None:
    opened = open_run(run)
    expected = student_of(opened).probabilities({"text": TEXTS})
    found = predictor_of(opened, "student")({"text": TEXTS}, no_tick).probabilities
    np.testing.assert_array_equal(found, expected)


def test_a_new_pool_is_labeled_with_exits(run: Path, config: RunConfig, tmp_path: Path) -> None:
    _, _, counts = label_new_pool(run, config.pool, tmp_path / "labels", "student", None, SILENT)
    assert counts["layers"] == read_json(run / "report.json")["labels"]["layers"]
    again = label_new_pool(run, config.pool, tmp_path / "labels", "student", None, SILENT)
    assert again[:2] == (0, 3), "all shards are reused"


def test_a_head_that_was_changed_is_found(run: Path, config: RunConfig, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    head = next((copy / "exits").glob("*/*.safetensors"))
    head.write_bytes(head.read_bytes()[:-4] + b"abcd")
    with pytest.raises(InputError, match="changed or removed"):
        label_new_pool(copy, config.pool, tmp_path / "out", "student", None, SILENT)


def test_a_run_goes_on_with_its_exits(run: Path, config: RunConfig, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    shutil.rmtree(copy / "exits")
    for path in (copy / "labels").glob("part-*.parquet"):
        path.unlink()
    before = labels_of(run / "labels")
    label_pool(config.model_copy(update={"out": str(copy)}), update=True)
    assert labels_of(copy / "labels") == before
    names = [path.relative_to(run) for path in (run / "exits").rglob("*") if path.is_file()]
    assert [file_digest(run / name) for name in names] == [
        file_digest(copy / name) for name in names
    ]


def test_the_report_names_the_share_of_every_layer(run: Path) -> None:
    page = write_page(run).read_text(encoding="utf-8")
    section = page.split('<section id="exits">')[1].split("</section>")[0]
    assert len(re.findall(r'<th scope="row">[12]</th>', section)) == 2
    assert "rows a second" in section


def test_few_rows_keep_every_row_to_the_last_layer(
    config: RunConfig, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exits, "choose_threshold", choose_threshold)
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    shutil.rmtree(copy / "exits")
    label_pool(config.model_copy(update={"out": str(copy)}), update=True)
    assert read_json(copy / "report.json")["exits"]["held_out"]["layers"] == [0, 1]
    assert "is a guess" in write_page(copy).read_text(encoding="utf-8")


def test_a_student_of_another_make_is_refused_before_anything_is_written(
    config_for: Callable[..., Any], model_folder: ModelFolder, tmp_path: Path
) -> None:
    config = config_for(**STUDENT, student_model=str(model_folder("albert")))
    with pytest.raises(InputError, match=r"setting student\.exits"):
        check_inputs(config.model_dump(exclude={"out"}, exclude_unset=True))
    with pytest.raises(InputError, match=r"setting student\.exits"):
        label_pool(config)
    with pytest.raises(InputError, match="long_texts=windows"):
        label_pool(config_for(**STUDENT, long_texts="windows"))
    assert not Path(config.out).exists()
