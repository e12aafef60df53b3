"""A run whose student is a linear classifier of words: made, asked, exported, refused."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pet.checking.check import check_inputs
from pet.ensemble.logits import read_logits
from pet.errors import InputError
from pet.estimator import PetClassifier
from pet.finished.exports import export_run
from pet.finished.finished_run import open_run
from pet.finished.inference import evaluate_run, label_new_pool, predict_texts
from pet.finished.predictors import student_of
from pet.inputs.model_checks import linear_student_problems
from pet.nightly.night import label_new
from pet.pipeline import label_pool
from pet.progress import SILENT
from pet.reporting.report_page import write_page
from pet.storage.files import read_json, read_record
from pet.student.student_folder import open_student
from tests.conftest import ModelFolder
from tests.support import samples, shortcuts
from tests.support.nights import arrive, night_settings

TEXTS = ["the team won the game", "a rocket to the moon", "the bank said the price was bad today"]
UNKNOWN = ["", "qqq zzz", "Ни одного слова"]
LINEAR = {"student_model": "linear"}


@pytest.fixture(scope="module")
def run(finished_run: Callable[..., Path]) -> Path:
    """A finished run with a linear student; not to be changed."""
    with shortcuts.none():
        return finished_run("linear", **samples.SHIPPED, **LINEAR)


@pytest.fixture(scope="module")
def several(finished_run: Callable[..., Path], several_inputs: Path) -> Path:
    """The same with several labels a text; not to be changed."""
    return finished_run("several-linear", **samples.several(several_inputs, **LINEAR))


@pytest.fixture
def run_copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy" / "news"))


def labels_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(sorted(folder.glob("part-*.parquet"))).to_pylist()
    return rows


def scores(run: Path, name: str) -> Any:
    return read_logits(run / "evaluation" / f"{name}-test.parquet")[1]


def test_nothing_of_a_language_model_is_in_its_folder(run: Path) -> None:
    for name in ("student", "supervised"):
        found = {path.name for path in (run / name).iterdir()} - {"README.md"}
        assert found == {"words.json", "head.safetensors", "pet.json", "done.json"}
    assert "max_length" not in read_record(run / "student" / "pet.json")


def test_it_is_the_linear_student_that_stands_beside_others(run: Path, tiny_run: Path) -> None:
    """Two figures under one name: of `student, linear` in a report, and of the student itself."""
    temperature = read_record(run / "student" / "done.json")["divided_by"]
    expected = scores(tiny_run, "linear_student") / temperature
    np.testing.assert_allclose(scores(run, "student"), expected, rtol=1e-3, atol=1e-4)
    baseline = scores(tiny_run, "linear_supervised")
    np.testing.assert_allclose(scores(run, "supervised"), baseline, atol=1e-5)
    assert not [name for name in read_json(run / "report.json")["test"] if "linear" in name]


def test_what_is_said_of_a_text_is_the_same_wherever_it_is_asked(run: Path, tmp_path: Path) -> None:
    opened = open_run(run)
    student = student_of(opened)
    expected = student.probabilities({"text": TEXTS})
    for other in (open_student(run / "student"), pickle.loads(pickle.dumps(student))):
        assert (other.probabilities({"text": TEXTS}) == expected).all()
    assert PetClassifier.load(run).predict_proba(TEXTS).shape == (3, 3)
    found = predict_texts(run, TEXTS)
    assert [own["label"] for own in found] == [samples.LABELS[p] for p in expected.argmax(axis=1)]
    label_new_pool(run, opened.config.pool, tmp_path / "labels", "student", None, SILENT)
    assert labels_of(tmp_path / "labels") == [
        {**own, "agreement": None} for own in labels_of(run / "labels")
    ]
    test = evaluate_run(run, str(opened.config.test), "student", SILENT)
    assert test["accuracy"] == read_json(run / "report.json")["test"]["student"]["accuracy"]


def test_a_text_without_a_known_word_has_the_labels_prior(run: Path) -> None:
    """NaN from a row of no length, or a refusal in the middle of a pool."""
    student = student_of(open_run(run))
    found = student.logits({"text": UNKNOWN})
    bias = student.model.head.bias  # type: ignore[union-attr]
    assert (found == bias).all()


def test_a_pool_without_a_word_in_common_has_a_student_of_priors(
    config_for: Callable[..., Any], own_inputs: Path
) -> None:
    texts = [f"word{number}" for number in range(20)]
    samples.write_pool(own_inputs / "pool.parquet", texts)
    config = config_for(inputs=own_inputs, **LINEAR)
    label_pool(config)
    assert read_json(Path(config.out) / "student" / "words.json") == {}
    found = predict_texts(Path(config.out), TEXTS)
    assert len({json.dumps(own["probabilities"]) for own in found}) == 1


def test_several_labels_have_thresholds_of_their_own(several: Path, tmp_path: Path) -> None:
    assert len(read_record(several / "student" / "pet.json")["thresholds"]) == 3
    assert all("labels" in own for own in predict_texts(several, TEXTS))
    config = open_run(several).config
    label_new_pool(several, config.pool, tmp_path / "labels", "student", None, SILENT)
    given = [own["labels"] for own in labels_of(several / "labels")]
    assert [own["labels"] for own in labels_of(tmp_path / "labels")] == given
    assert PetClassifier.load(several).predict(TEXTS).shape == (3, 3)


def test_a_run_goes_on_where_it_was_killed(run: Path, run_copy: Path) -> None:
    for name in ("student", "supervised", "evaluation"):
        shutil.rmtree(run_copy / name)
    sorted((run_copy / "labels").glob("part-*.parquet"))[-1].unlink()
    config = open_run(run).config
    label_pool(config.model_copy(update={"out": str(run_copy)}), update=True)
    for name in ("student/head.safetensors", "student/words.json", "labels/part-00002.parquet"):
        assert (run_copy / name).read_bytes() == (run / name).read_bytes()


def test_scikit_learn_alone_reads_it_as_its_card_says(run: Path, tmp_path: Path) -> None:
    export_run(run, "linear", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    code = card.split("```python\n")[1].split("```")[0].replace("path/to/this/folder", "{}")
    code = code.replace("{}", str(tmp_path / "out")).replace("'a text'", repr(TEXTS[1]))
    found: dict[str, Any] = {}
    exec(code, found)
    expected = student_of(open_run(run)).logits({"text": [TEXTS[1]]})
    np.testing.assert_array_equal(found["logits"].astype(np.float32), expected)
    assert tuple(found["labels"]) == samples.LABELS


def test_an_export_is_loaded_by_the_estimator(run: Path, tmp_path: Path) -> None:
    found = export_run(run, "linear", tmp_path / "out")
    assert set(found["files"]) == {"README.md", "head.safetensors", "pet.json", "words.json"}
    expected = student_of(open_run(run)).probabilities({"text": TEXTS})
    loaded = PetClassifier.load(tmp_path / "out")
    places = [samples.LABELS.index(name) for name in loaded.classes_]
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), expected[:, places])


@pytest.mark.parametrize("kind", ["hf", "onnx"])
def test_formats_of_language_models_are_refused(run: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match="--format linear"):
        export_run(run, kind, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_students_are_no_linear_ones(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--format hf or onnx"):
        export_run(tiny_run, "linear", tmp_path / "out")


@pytest.mark.parametrize("name", ["words.json", "head.safetensors", "pet.json"])
def test_a_damaged_file_is_refused(run_copy: Path, tmp_path: Path, name: str) -> None:
    export_run(run_copy, "linear", tmp_path / "out")
    for folder, ask in (
        (run_copy / "student", lambda: predict_texts(run_copy, TEXTS)),
        (tmp_path / "out", lambda: PetClassifier.load(tmp_path / "out")),
    ):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-9] + b"012345678")
        with pytest.raises(InputError):
            ask()


def test_labels_in_another_order_are_refused(run_copy: Path) -> None:
    """Scores are kept by place: each row would get another label."""
    task = run_copy / "task.toml"
    lines = task.read_text(encoding="utf-8")
    sport, business = 'sport = "sport"\n', 'business = "business"\n'
    task.write_text(lines.replace(sport, "#").replace(business, business + sport).replace("#", ""))
    with pytest.raises(InputError, match="the labels that the student was made for"):
        open_run(run_copy)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("student_max_length", {"student_max_length": 16}),
        ("student.exits", {"student": {**samples.TINY["student"], "exits": True}}),
        ("student.tuning", {"student": {**samples.TINY["student"], "tuning": "lora"}}),
    ],
)
def test_settings_of_language_models_are_refused_before_anything_is_written(
    config_for: Callable[..., Any], name: str, changes: dict[str, Any]
) -> None:
    config = config_for(**LINEAR, **changes)
    with pytest.raises(InputError, match=f"setting {name}"):
        check_inputs(config.model_dump(exclude={"out"}, exclude_unset=True))
    with pytest.raises(InputError, match=f"setting {name}"):
        label_pool(config)
    assert not Path(config.out).exists()


def test_a_presets_length_of_the_student_is_no_bar(config_for: Callable[..., Any]) -> None:
    """A large causal teacher beside an encoder takes preset cpu by itself."""
    config = config_for(**LINEAR, preset="cpu")
    assert config.student_max_length
    assert not linear_student_problems(config)


def test_steps_that_it_does_not_take_are_named(run: Path, run_copy: Path) -> None:
    listener = samples.Listener()
    config = open_run(run).config.model_copy(update={"out": str(run_copy)})
    label_pool(config, observer=listener, update=True)
    assert any("makes no use of student.batch_size" in line for line in listener.said)


def test_a_folder_of_that_name_is_another_students_model(
    config_for: Callable[..., Any],
    model_folder: ModelFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder("bert"), tmp_path / "linear")
    assert config_for(student_model="linear").linear_student
    config = config_for(student_model="./linear")
    label_pool(config)
    assert (Path(config.out) / "student" / "config.json").exists()


@pytest.mark.parametrize("name", ["model", "student_model"])
def test_a_linear_student_is_no_model_to_start_from(
    config_for: Callable[..., Any], run: Path, name: str
) -> None:
    with pytest.raises(InputError, match="a linear student is made by --student-model linear"):
        label_pool(config_for(**{name: str(run / "student")}))


def test_a_check_needs_no_model_of_it_and_gives_its_price(config_for: Callable[..., Any]) -> None:
    given = config_for(**LINEAR).model_dump(exclude={"out"}, exclude_unset=True)
    found = check_inputs(given)
    assert set(found["cut"]) == {"teacher"}
    assert found["estimate"]["seconds"]["labels"] < 1


def test_its_report_says_what_it_is(run: Path) -> None:
    card = (run / "student" / "README.md").read_text(encoding="utf-8")
    assert "logistic regression on TF-IDF of words" in card
    assert "transformers" not in card
    assert "student, linear" not in write_page(run).read_text(encoding="utf-8")
    assert read_json(run / "provenance.json")["models"]["student"]["base"]["name"] == "linear"


def test_it_labels_the_files_of_nights(run: Path, inputs_folder: Path, tmp_path: Path) -> None:
    settings = night_settings(tmp_path, run, inputs_folder / "labeled.csv")
    arrive(tmp_path / "pool", "monday.csv", 6)
    assert label_new(settings)["rows"] == 6


def test_it_is_fitted_in_python(inputs_folder: Path, model_folder: ModelFolder) -> None:
    texts, labels = map(list, zip(*samples.labeled_rows(), strict=True))
    settings = {**samples.ESTIMATOR, "member": {"steps": 1, "batch_size": 4}}
    classifier = PetClassifier(
        str(inputs_folder / "task.toml"),
        model=str(model_folder("bert")),
        student_model="linear",
        settings=settings,
    )
    pool = [text for text in samples.pool_texts() if text and text.strip()]
    found = classifier.fit(texts, labels, pool=pool).predict_proba(UNKNOWN[1:])
    assert np.isfinite(found).all()
