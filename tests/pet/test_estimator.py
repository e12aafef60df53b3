"""The estimator among scikit-learn's own tools: folds, grids, pipelines, pandas, pickles."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer

from pet.errors import InputError, PetError
from pet.estimator import PetClassifier
from pet.finished.inference import predict_texts
from pet.storage.files import read_json
from pet.student.student_folder import Student
from tests.conftest import ModelFolder
from tests.support import samples

QUICK = {
    **samples.ESTIMATOR,
    "member": {"steps": 1, "batch_size": 4},
    "student.steps": 2,
    "supervised.steps": 0,
}
X, Y = map(list, zip(*samples.labeled_rows(), strict=True))
POOL = [text for text in samples.pool_texts() if text and text.strip()]
Make = Callable[..., PetClassifier]


@pytest.fixture(scope="session")
def make(inputs_folder: Path, model_folder: ModelFolder) -> Make:
    """Make a classifier of the tiny task: `make(random_state=7)`."""

    def make_classifier(**changes: Any) -> PetClassifier:
        values = {
            "task": str(inputs_folder / "task.toml"),
            "model": str(model_folder("bert")),
            "settings": QUICK,
        }
        return PetClassifier(**{**values, **changes})

    return make_classifier


@pytest.fixture(scope="session")
def fitted(make: Make) -> PetClassifier:
    """A fitted classifier; not to be changed."""
    return make().fit(X, Y, pool=POOL)


@pytest.mark.parametrize("name", ["pool", "runs_dir"])
def test_an_address_does_not_become_a_folder_of_this_machine(
    make: Make, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    address = "s3://bucket/texts"
    given = {"pool": POOL, "runs_dir": None, name: address}
    with pytest.raises(InputError, match="a path on this machine") as caught:
        make(runs_dir=given["runs_dir"]).fit(X, Y, pool=given["pool"])
    assert [problem.where for problem in caught.value.problems] == [name]
    assert not list(tmp_path.iterdir())


def test_predictions_are_the_likeliest_classes(fitted: PetClassifier) -> None:
    probabilities = fitted.predict_proba(POOL)
    assert fitted.classes_.tolist() == sorted(samples.LABELS)
    assert probabilities.shape == (len(POOL), 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (fitted.predict(POOL) == fitted.classes_[probabilities.argmax(axis=1)]).all()
    assert 0 <= fitted.score(X, Y) <= 1


def test_a_fit_is_the_run_that_the_command_makes(make: Make, tmp_path: Path) -> None:
    """The same probabilities from the run folder, in the order of the classes."""
    classifier = make(runs_dir=tmp_path).fit(X, Y, pool=POOL)
    assert classifier.run_dir_.parent == tmp_path
    found = predict_texts(classifier.run_dir_, POOL)
    ours = classifier.predict_proba(POOL)
    for said, row in zip(found, ours, strict=True):
        by_class = [said["probabilities"][label] for label in classifier.classes_]
        assert row == pytest.approx(by_class, abs=1e-4)
    assert read_json(classifier.run_dir_ / "report.json") == classifier.report_


def test_a_kept_run_is_found_again_and_another_does_not_touch_it(
    make: Make, tmp_path: Path
) -> None:
    first = make(runs_dir=tmp_path).fit(X, Y, pool=POOL)
    made = (first.run_dir_ / "student" / "done.json").stat().st_mtime_ns
    again = make(runs_dir=tmp_path).fit(X, Y, pool=POOL)
    other = make(runs_dir=tmp_path).fit(X[::-1], Y[::-1], pool=POOL)
    assert again.run_dir_ == first.run_dir_ != other.run_dir_
    assert (first.run_dir_ / "student" / "done.json").stat().st_mtime_ns == made


def test_a_temporary_run_leaves_no_folder(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    classifier = make().fit(X, Y, pool=POOL)
    pickle.dumps(classifier)
    assert list(tmp_path.iterdir()) == []
    assert classifier.run_dir_ is None
    assert len(classifier.predict(["the team won"])) == 1


def test_the_seed_decides(make: Make, fitted: PetClassifier) -> None:
    again = make().fit(X, Y, pool=POOL)
    other = make(random_state=np.random.RandomState(7)).fit(X, Y, pool=POOL)
    assert (again.predict_proba(POOL) == fitted.predict_proba(POOL)).all()
    assert (other.predict_proba(POOL) != fitted.predict_proba(POOL)).any()


def test_unlabeled_rows_of_x_are_a_pool(make: Make, fitted: PetClassifier) -> None:
    """scikit-learn's convention for semi-supervised learning: -1, here None too."""
    marks = [None, -1] * len(POOL)
    labels = np.array([*Y, *marks[: len(POOL)]], dtype=object)
    found = make().fit([*X, *POOL], labels)
    assert (found.predict_proba(POOL) == fitted.predict_proba(POOL)).all()


def test_a_pool_may_be_a_file(make: Make, tmp_path: Path) -> None:
    path = samples.write_pool(tmp_path / "pool.parquet", POOL)
    for pool in (path, str(path)):
        assert make().fit(X, Y, pool=pool).report_["pool"]["rows"] == len(POOL)
    with pytest.raises(InputError, match="where X has unlabeled rows"):
        make().fit(X, [*Y[:-1], None], pool=path)


def test_without_a_pool_the_student_learns_from_the_labeled_texts_and_says_so(make: Make) -> None:
    with pytest.warns(UserWarning, match="no unlabeled texts were given"):
        classifier = make().fit(X, Y)
    assert classifier.report_["pool"]["scored_by_members"] == len(X)


def test_a_label_that_pandas_read_as_a_gap_is_warned_of(make: Make) -> None:
    """The label "None" became a missing value, and the classifier learned from nothing."""
    task = {
        "labels": {"sport": "good", "None": "bad"},
        "patterns": {"was": "{text} It was {mask}."},
    }
    y = [label if label == "sport" else None for label in Y]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(task=task).fit(X, y, pool=POOL)
    said = [str(warning.message) for warning in caught]
    assert any("keep_default_na=False" in line for line in said)
    assert any(line.startswith("X, y: no example of the label 'None'") for line in said)
    with pytest.warns(UserWarning, match="no row of y has a label"):
        make().fit(X, [None] * len(X))


def test_what_the_command_warns_of_the_estimator_warns_of(make: Make) -> None:
    pool = [*POOL, *[""] * 2]
    with pytest.warns(UserWarning, match=r"X, y: 1 of 13 rows cannot be used: empty text"):
        make().fit([*X, ""], [*Y, Y[0]], pool=pool)


def test_words_alone_make_a_start(make: Make) -> None:
    classifier = make().fit(POOL)
    assert "labeled" not in classifier.report_
    assert set(classifier.predict(POOL)) <= set(samples.LABELS)


def test_numbers_and_booleans_are_predicted_as_they_were_given(make: Make, tmp_path: Path) -> None:
    patterns = {"last": "{text} the topic is {mask}"}
    y = np.repeat([0, 1], 6)
    numbers = make(task={"labels": {"1": "space", "0": "sport"}, "patterns": patterns})
    numbers.fit(X, y, pool=POOL)
    assert numbers.predict(POOL).dtype.kind == "i"
    assert numbers.classes_.tolist() == [0, 1]
    numbers.save(tmp_path / "saved")
    assert PetClassifier.load(tmp_path / "saved").classes_.tolist() == [0, 1]
    flags = make(task={"labels": {"True": "good", "False": "bad"}, "patterns": patterns})
    assert flags.fit(X, y == 1, pool=POOL).predict(POOL).dtype.kind == "b"


def test_a_frame_with_the_fields_of_a_pair(make: Make) -> None:
    task = {
        "fields": ["title", "label"],
        "labels": {name: name for name in samples.LABELS},
        "patterns": {"pair": "{title} {mask} {label}"},
    }
    frame = pd.DataFrame({"label": X, "title": "news", "other": 1})
    classifier = make(task=task).fit(frame, Y, pool=pd.DataFrame({"title": "it", "label": POOL}))
    assert classifier.n_features_in_ == 3
    assert len(classifier.predict(frame)) == len(frame)
    with pytest.raises(InputError, match="'title'"):
        classifier.predict(frame.drop(columns="title"))


def test_pandas_in_pandas_out_keeps_the_index(fitted: PetClassifier) -> None:
    texts = pd.Series(POOL[:3], index=["a", "b", "c"])
    frame = fitted.predict_frame(texts)
    assert frame.index.tolist() == ["a", "b", "c"]
    assert frame["label"].tolist() == fitted.predict(texts).tolist()
    of_classes = [f"probability of {label}" for label in fitted.classes_]
    assert frame.columns.tolist() == ["label", "confidence", "entropy", *of_classes]
    np.testing.assert_array_equal(frame[of_classes].to_numpy(), fitted.predict_proba(texts))
    assert (frame["confidence"] == frame[of_classes].max(axis=1)).all()


def test_folds_grids_and_pipelines(make: Make, tmp_path: Path) -> None:
    pool = samples.write_pool(tmp_path / "pool.parquet", POOL)
    assert len(cross_val_score(make(), X, Y, cv=2, params={"pool": pool})) == 2
    lowered = make_pipeline(FunctionTransformer(lambda texts: [t.lower() for t in texts]), make())
    lowered.fit(X, Y, petclassifier__pool=POOL)
    assert len(lowered.predict(POOL)) == len(POOL)
    grid = {
        "settings": [{**QUICK, "weights": way} for way in ("uniform", "accuracy")],
        "random_state": [np.int64(1)],
    }
    search = GridSearchCV(make(), grid, cv=2).fit(X, Y, pool=pool)
    assert len(search.cv_results_["params"]) == 2
    assert search.best_estimator_.settings["weights"] in ("uniform", "accuracy")


def test_parameters_are_got_set_and_cloned(make: Make, fitted: PetClassifier) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "student_")
    assert copy.set_params(random_state=1, preset="fast").preset == "fast"


@pytest.mark.thorough
def test_a_pickle_answers_alike_in_another_process(fitted: PetClassifier, tmp_path: Path) -> None:
    """Processes of joblib get it so; for keeping there is save, which needs no trust."""
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(fitted))
    code = "import pickle, sys; print(*pickle.load(open(sys.argv[1], 'rb')).predict(sys.argv[2:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "c.pkl"), *POOL[:4]],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == fitted.predict(POOL[:4]).tolist()


def test_a_pickle_of_the_version_before_the_packages_loads(
    fitted: PetClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the student's class by its former module."""
    monkeypatch.setattr(Student, "__module__", "pet.student_folder")
    former = pickle.dumps(fitted)
    monkeypatch.undo()
    assert b"pet.student_folder" in former
    loaded = pickle.loads(former)
    assert loaded.predict(POOL[:2]).tolist() == fitted.predict(POOL[:2]).tolist()


def test_what_was_saved_loads_and_is_no_pickle(fitted: PetClassifier, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "saved")
    suffixes = {path.suffix for path in folder.iterdir()}
    assert suffixes == {".json", ".md", ".safetensors"}
    loaded = PetClassifier.load(folder, device="cpu")
    assert (loaded.predict_proba(POOL) == fitted.predict_proba(POOL)).all()
    assert loaded.classes_.tolist() == fitted.classes_.tolist()
    with pytest.raises(InputError, match="something is there"):
        fitted.save(folder)


def test_a_run_is_loaded_as_a_classifier(tiny_run: Path) -> None:
    loaded = PetClassifier.load(tiny_run)
    best = [said["label"] for said in predict_texts(tiny_run, POOL)]
    assert loaded.predict(POOL).tolist() == best


def test_a_folder_without_a_student_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a student's folder, with its pet\.json"):
        PetClassifier.load(tmp_path)


def test_an_unfitted_classifier_says_so(make: Make, tmp_path: Path) -> None:
    for ask in (make().predict, make().predict_proba, make().predict_frame):
        with pytest.raises(NotFittedError):
            ask(POOL)
    with pytest.raises(NotFittedError):
        make().save(tmp_path / "saved")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": None}, "found:    nothing"),
        ({"task": {"labels": {"a": "x"}, "patterns": {}}}, "at least two labels"),
        ({"task": {"labels": {"a": object()}}}, "as in a task file"),
        ({"task": "no_such_task"}, "no such file or task"),
        ({"model": None}, "a masked or causal language model"),
        ({"settings": {"membre.steps": 1}}, "a known setting"),
        ({"settings": {"out": "/somewhere"}}, "which `fit` sets"),
        ({"preset": "slow"}, "preset"),
    ],
)
def test_wrong_parameters_are_reported_at_fit_and_leave_nothing_behind(
    make: Make, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said) as caught:
        make(**{"runs_dir": tmp_path / "runs", **changes}).fit(X, Y, pool=POOL)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, PetError)
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_texts_that_cannot_be_used_leave_nothing_behind(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unusable"):
        make(runs_dir=tmp_path).fit(X, Y, pool=["", "", "a text"])
    assert list(tmp_path.iterdir()) == []


def test_lines_are_written_when_they_are_asked_for(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make().fit(X, Y, pool=POOL)
    assert capsys.readouterr().err == ""
    make(verbose=True).fit(X, Y, pool=POOL)
    assert "training the student: 2 steps" in capsys.readouterr().err


def test_a_missing_pandas_is_named(fitted: PetClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pip install 'pet\[pandas\]'"):
        fitted.predict_frame(POOL)


def test_a_task_of_several_labels_is_fitted_on_indicators_and_predicts_them(
    several_inputs: Path, model_folder: ModelFolder
) -> None:
    texts, sets = map(list, zip(*samples.set_rows(), strict=True))
    settings = {**QUICK, "calibration": "matched"}
    classifier = PetClassifier(
        str(several_inputs / "task.toml"), model=str(model_folder("bert")), settings=settings
    )
    indicators = MultiLabelBinarizer().fit_transform(sets)
    classifier.fit(texts, indicators, pool=POOL)
    assert classifier.classes_.tolist() == sorted(samples.LABELS)
    given, probabilities = classifier.predict(POOL), classifier.predict_proba(POOL)
    assert given.shape == probabilities.shape == (len(POOL), 3)
    record = classifier.student_.record
    of_label = dict(zip(record.labels, record.thresholds, strict=True))
    thresholds = [of_label[name] for name in classifier.classes_]
    np.testing.assert_array_equal(given, probabilities >= thresholds)
    frame = classifier.predict_frame(POOL)
    assert [len(own) for own in frame["labels"]] == given.sum(axis=1).tolist()
    assert classifier.score(texts, sets) == classifier.score(texts, indicators)
    assert pickle.loads(pickle.dumps(classifier)).predict(POOL).tolist() == given.tolist()


def test_lists_for_a_task_of_one_label_are_refused_with_what_to_do(make: Make) -> None:
    with pytest.raises(InputError, match="labels_per_text"):
        make().fit(X, np.eye(3, dtype=int)[[0, 1, 2] * 4], pool=POOL)
