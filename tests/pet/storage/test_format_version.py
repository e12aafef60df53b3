"""What an earlier version wrote is read; what a newer one wrote is refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pet.errors import InputError
from pet.estimator import PetClassifier
from pet.finished.exports import export_run
from pet.finished.finished_run import open_run
from pet.finished.inference import evaluate_run, label_new_pool, predict_texts
from pet.finished.past_runs import list_runs, show_run
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.storage.files import read_json
from pet.storage.format_version import FORMAT, check_format
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.old_runs import write_run_0_1_0


@pytest.fixture
def old_run(tmp_path: Path, inputs_folder: Path, model_folder: ModelFolder) -> Path:
    return write_run_0_1_0(tmp_path / "runs" / "news", inputs_folder, model_folder("bert"))


def set_format(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_run_of_0_1_0_predicts_evaluates_and_labels(
    old_run: Path, inputs_folder: Path, tmp_path: Path
) -> None:
    said = predict_texts(old_run, ["the team won"])[0]
    assert said["label"] in samples.LABELS
    found = evaluate_run(old_run, str(inputs_folder / "test.csv"), "student", SILENT)
    assert found["rows"] == 9
    pool = str(inputs_folder / "pool.parquet")
    counts = label_new_pool(old_run, pool, tmp_path / "l", "student", None, SILENT)[2]
    assert counts["rows"] == 37
    assert [row["state"] for row in list_runs(old_run.parent)] == ["finished"]
    assert show_run(old_run)["settings"]["model"] == "roberta-large"


def test_a_run_of_0_1_0_is_loaded_and_exported(old_run: Path, tmp_path: Path) -> None:
    """Its student does not say which fields it reads; the run does, and so do its exports."""
    text = ["the team won"]
    loaded = PetClassifier.load(old_run)
    export_run(old_run, "hf", tmp_path / "hf")
    again = PetClassifier.load(tmp_path / "hf")
    assert (again.predict_proba(text) == loaded.predict_proba(text)).all()
    assert export_run(old_run, "datasets", tmp_path / "ds")["rows"] == 37
    with pytest.raises(InputError, match="give the folder of a finished run"):
        PetClassifier.load(old_run / "student")


USES: list[Callable[[Path], Any]] = [
    open_run,
    PetClassifier.load,
    lambda run: export_run(run, "hf", run.parent / "out"),
]


@pytest.mark.parametrize("use", USES)
def test_a_run_of_a_newer_format_is_refused_and_the_version_named(
    old_run: Path, use: Callable[[Path], Any]
) -> None:
    set_format(old_run / "manifest.json", format=FORMAT + 1, made_with={"pet": "7.1.0"})
    with pytest.raises(InputError) as caught:
        use(old_run)
    said = str(caught.value)
    assert f"expected: format {FORMAT} or older" in said
    assert f"found:    format {FORMAT + 1}, made with pet 7.1.0" in said
    assert "fix:      install pet 7.1.0" in said


def test_a_newer_version_of_the_same_format_is_read(old_run: Path) -> None:
    set_format(old_run / "manifest.json", format=FORMAT, made_with={"pet": "0.9.0"})
    assert predict_texts(old_run, ["the team won"])


def test_a_student_of_a_newer_format_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    export_run(tiny_run, "hf", tmp_path / "hf")
    set_format(tmp_path / "hf" / "pet.json", format=FORMAT + 1, pet="8.0")
    with pytest.raises(InputError, match=r"made with pet 8\.0"):
        PetClassifier.load(tmp_path / "hf")


def test_a_run_is_never_written_into_a_folder_of_a_newer_format(
    run_copy: Path, config_for: Callable[..., Any]
) -> None:
    set_format(run_copy / "manifest.json", format=FORMAT + 1)
    before = {path: path.read_bytes() for path in run_copy.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="or older"):
        label_pool(config_for(out=run_copy), update=True)
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_says_its_format(tiny_run: Path) -> None:
    assert read_json(tiny_run / "manifest.json")["format"] == FORMAT
    assert read_json(tiny_run / "student" / "pet.json")["format"] == FORMAT


@pytest.mark.parametrize("damaged", [0, -1, "1", 1.5, None, True, [1]])
def test_a_format_that_is_none_is_refused(damaged: Any) -> None:
    with pytest.raises(InputError, match="an unknown version"):
        check_format(Path("run"), {"format": damaged})


def test_no_format_is_the_first_one() -> None:
    check_format(Path("run"), {})
    check_format(Path("run"), None)
