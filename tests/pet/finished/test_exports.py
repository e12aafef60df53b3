"""Exports: loaded by the programs that they are for; whole, or not there."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.errors import InputError, PetError
from pet.escaping import unescape_formula
from pet.estimator import PetClassifier
from pet.finished import exports
from pet.finished.exports import compared_rows, export_run
from pet.finished.finished_run import open_run
from pet.finished.inference import predict_texts
from pet.finished.onnx_students import export_onnx
from pet.pipeline import label_pool
from pet.storage.files import read_json, write_json
from pet.student.student_folder import Record, Student
from tests.conftest import ModelFolder
from tests.support import samples
from tests.support.cloze import fresh_classifier
from tests.support.run_files import label_rows


@pytest.fixture(scope="module")
def onnx_export(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("exports") / "onnx"
    return out, export_run(tiny_run, "onnx", out, int8=True)


def test_the_student_loads_in_plain_transformers_and_as_an_estimator(
    tiny_run: Path, tmp_path: Path
) -> None:
    from transformers import pipeline

    found = export_run(tiny_run, "hf", tmp_path / "hf")
    assert "done.json" not in found["files"]
    text = "the team won the game"
    ours = predict_texts(tiny_run, [text])[0]
    classify = pipeline("text-classification", model=str(tmp_path / "hf"))
    assert classify(text, truncation=True)[0]["label"] == ours["label"]
    assert PetClassifier.load(tmp_path / "hf").predict([text])[0] == ours["label"]


def test_the_onnx_cards_own_words_load_the_model(
    onnx_export: tuple[Path, Any], tiny_run: Path
) -> None:
    card = (onnx_export[0] / "README.md").read_text(encoding="utf-8")
    assert card.count("## Use") == 1
    assert "pipeline(" not in card  # there are no weights for it
    code = card.split("```python")[1].split("```")[0]
    namespace: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(onnx_export[0])), namespace)
    names = read_json(onnx_export[0] / "config.json")["id2label"]
    assert (
        names[str(namespace["logits"].argmax())] == predict_texts(tiny_run, ["a text"])[0]["label"]
    )


def test_an_onnx_export_is_held_against_the_student(onnx_export: tuple[Path, Any]) -> None:
    found = onnx_export[1]
    assert found["compared_on"] == "9 test rows"
    assert found["model.onnx"]["agreement"] == 1
    assert found["model.onnx"]["largest_difference"] < 1e-5
    assert found["model.onnx"]["accuracy"] == found["student"]["accuracy"]
    assert 0 < found["model_int8.onnx"]["largest_difference"] < 0.1
    assert {"model.onnx", "model_int8.onnx", "tokenizer.json", "README.md"} <= set(found["files"])


def test_an_onnx_model_that_predicts_something_else_is_not_handed_out(
    tiny_run: Path,
    onnx_export: tuple[Path, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def export_again(student: Student, path: Path) -> None:
        shutil.copy(onnx_export[0] / "model.onnx", path)

    class Other:
        def probabilities(self, columns: Any) -> np.ndarray:
            return np.full((9, 3), 1 / 3)

    monkeypatch.setattr(exports, "export_onnx", export_again)
    monkeypatch.setattr(exports, "open_onnx", lambda path, student: Other())
    with pytest.raises(PetError, match="the student's probabilities"):
        export_run(tiny_run, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_models_are_compared_on_the_best_rows_that_are_still_there(
    run_copy: Path, inputs_folder: Path
) -> None:
    config = read_json(run_copy / "config.json")
    assert compared_rows(open_run(run_copy))[0] == "test rows"
    write_json(run_copy / "config.json", {**config, "test": "gone.csv"})
    source, columns, truth = compared_rows(open_run(run_copy))
    assert (source, len(columns["text"]), len(truth)) == ("labeled rows", 12, 12)  # type: ignore[arg-type]
    write_json(run_copy / "config.json", {**config, "test": None, "labeled": "gone.csv"})
    source, columns, truth = compared_rows(open_run(run_copy))
    assert (source, len(columns["text"]), truth) == ("pool rows", 37, None)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("tf", {}, "hf, onnx, linear, datasets"),
        ("hf", {"int8": True}, "leave out --int8"),
        ("onnx", {"pool": "p"}, "leave out --pool"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    tiny_run: Path, tmp_path: Path, kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_run(tiny_run, kind, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["hf", "datasets"])
def test_an_export_replaces_nothing(tiny_run: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("precious")
    for out in (tmp_path, tmp_path / "file", tiny_run):
        with pytest.raises(InputError, match="something is there"):
            export_run(tiny_run, kind, out)
    assert (tmp_path / "file").read_text() == "precious"
    (tmp_path / "empty").mkdir()
    assert export_run(tiny_run, kind, tmp_path / "empty")["files"]


def test_the_texts_of_a_fit_can_be_exported(tmp_path: Path, tiny_run: Path) -> None:
    config = read_json(tiny_run / "config.json")
    texts = [text for text in samples.pool_texts() if text and text.strip()]
    settings = {
        name: config[name]
        for name in (
            "device",
            "max_length",
            "generations",
            "train_from",
            "out_of_bag",
            "cross_fitting_folds",
            "member",
            "student",
            "supervised",
        )
    }
    rows = samples.labeled_rows()
    classifier = PetClassifier(
        config["task"], model=config["model"], settings=settings, runs_dir=tmp_path / "runs"
    )
    classifier.fit([text for text, _ in rows], [label for _, label in rows], pool=texts)
    assert classifier.run_dir_ is not None
    found = export_run(classifier.run_dir_, "datasets", tmp_path / "out")
    assert found["rows"] == len(texts)


def test_a_spreadsheet_gets_a_row_per_text_and_no_formula(run_copy: Path, tmp_path: Path) -> None:
    found = export_run(run_copy, "csv", tmp_path / "csv")
    with (tmp_path / "csv" / "labeled.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    labels = label_rows(run_copy / "labels")
    assert len(rows) == found["rows"] == len(labels) == 37
    assert [row["id"] for row in rows] == [row["id"] for row in labels]
    assert [row["label"] for row in rows] == [row["label"] for row in labels]
    for row, label in zip(rows, labels, strict=True):
        assert float(row["confidence"]) == pytest.approx(label["confidence"], rel=1e-5)
        for name in samples.LABELS:
            chance = float(row[f"probability: {name}"])
            assert chance == pytest.approx(label["probabilities"][name], rel=1e-4)
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())
    texts = [text for text in samples.pool_texts() if (text or "").strip()]
    assert [unescape_formula(row["text"]) for row in rows] == texts
    cells = [cell for row in rows for cell in row.values()]
    assert found["escaped"] == sum(cell != unescape_formula(cell) for cell in cells)


def test_a_spreadsheet_has_one_heading_where_the_first_rows_cannot_be_used(
    config_for: Any, tmp_path: Path
) -> None:
    texts = [None, *(text for text, _ in samples.labeled_rows()), "the bank", "a rocket"]
    pool = samples.write_pool(tmp_path / "pool.parquet", texts)
    config = config_for(pool=str(pool), shard_rows=1)
    label_pool(config)
    export_run(Path(config.out), "csv", tmp_path / "csv")
    with (tmp_path / "csv" / "labeled.csv").open(encoding="utf-8-sig", newline="") as stream:
        lines = list(csv.reader(stream))
    assert len(lines) == 1 + len(texts) - 1
    assert [line[0] for line in lines].count("id") == 1


@pytest.mark.thorough
def test_the_onnx_card_of_several_fields_shows_how_they_are_joined(
    model_folder: ModelFolder, tmp_path: Path
) -> None:
    """Two of three were tokenised, and the model answered all the same."""
    fields = ("title", "body", "author")
    model = fresh_classifier(model_folder("bert"))
    student = Student(model, Record(task="t", labels=("a", "b", "c"), fields=fields, max_length=32))
    student.save(tmp_path)
    export_onnx(student, tmp_path / "model.onnx")
    code = exports._onnx_card(student).split("```python")[1].split("```")[0]
    namespace: dict[str, Any] = {}
    exec(code.replace("path/to/this/folder", str(tmp_path)), namespace)
    texts = {"title": ["a text"], "body": ["another"], "author": ["one more"]}
    np.testing.assert_allclose(namespace["logits"], student.logits(texts), atol=1e-4)


def test_what_a_killed_export_left_beside_its_target_is_gone_after_the_next(
    tiny_run: Path, tmp_path: Path
) -> None:
    (tmp_path / ".pet-tmp-killed" / "out").mkdir(parents=True)
    export_run(tiny_run, "hf", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_student_of_several_labels_is_exported_with_its_thresholds(
    several_run: Path, tmp_path: Path
) -> None:
    export_run(several_run, "hf", tmp_path / "hf")
    found = export_run(several_run, "onnx", tmp_path / "onnx")
    assert found["model.onnx"]["agreement"] == 1
    assert found["model.onnx"]["micro_f1"] == found["student"]["micro_f1"]
    texts = ["a text", "another"]
    ours = [own["labels"] for own in predict_texts(several_run, texts)]
    loaded = PetClassifier.load(tmp_path / "hf")
    given = [sorted(row) for row in loaded.predict_frame(texts)["labels"]]
    assert given == [sorted(row) for row in ours]
    card = (tmp_path / "onnx" / "README.md").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    code = card.split("```python")[1].split("```")[0]
    exec(code.replace("path/to/this/folder", str(tmp_path / "onnx")), namespace)
    names = read_json(tmp_path / "onnx" / "config.json")["id2label"]
    by_card = [[names[str(n)] for n in np.flatnonzero(row)] for row in namespace["given"]]
    assert by_card == ours[:1]
