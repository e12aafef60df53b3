"""`PetClassifier`: scikit-learn's fit and predict on the same stages as `pet run`."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from pet.config import RunConfig
from pet.data.arrays import complete, known_labels, known_sets, text_columns
from pet.data.columns import listed
from pet.data.label_values import indicators, label_name
from pet.errors import InputError, Problem, missing_package
from pet.escaping import visible
from pet.finished.finished_run import open_run
from pet.finished.predictors import student_of
from pet.inputs.from_arrays import FitInputs, read_task
from pet.pipeline import label_pool
from pet.progress import Observer
from pet.storage.files import sweep, writing
from pet.storage.locations import place_problem
from pet.student import student_folder
from pet.student.student_folder import Student, open_student

# Pickles of 0.2.0 look for the student's class under this name.
sys.modules.setdefault("pet.student_folder", student_folder)

NO_POOL = (
    "no unlabeled texts were given, so that the student learns from the labeled ones alone: give "
    "some with fit(X, y, pool=...), or rows of X with the label -1 or None"
)


GAPS = ("NA", "N/A", "n/a", "None", "NULL", "null", "NaN", "nan", "<NA>", "#N/A")  # pandas's


class PetClassifier(ClassifierMixin, BaseEstimator):
    """A text classifier that learns from a few labeled texts and many unlabeled ones.

    `fit` makes a run as `pet run` does and keeps its student, which answers `predict`.

    Args:
        task: labels, words and patterns: a task file's path, a shipped task's name, or a mapping
            with the keys of such a file (`labels` and `patterns` at least).
        model: the teacher, a language model: a Hugging Face id or a local folder.
        student_model: what the student starts from; the teacher if not given.
        encoder: a sentence encoder as one more member of the ensemble.
        preset: default, fast or paper.
        settings: other fields of `RunConfig`, by their names or dotted names:
            `{"member.steps": 300, "device": "cpu"}`.
        random_state: the seed, 42 as in `pet run`. None draws one from numpy's global generator.
        runs_dir: a folder in which every fit keeps its run, under a name made of its content: what
            was killed goes on, what was made is not made again, `pet label` and `pet export` can
            use it. None: the run lies in a temporary folder until `fit` ends.
        verbose: write a line per stage to standard error.

    Attributes:
        classes_: all labels of the task as `y` wrote them, sorted; text where `y` had none, and
            where a text may have several.
        n_features_in_: number of columns, where X has columns.
        report_: what the run's `report.json` holds.
        run_dir_: the run folder, where `runs_dir` is given.
        student_: the classifier.

    Example::

        task = {
            "labels": {"good": "great", "bad": "terrible"},
            "patterns": {"was": "{text} It was {mask}."},
        }
        classifier = PetClassifier(task, model="roberta-large")
        classifier.fit(texts, labels, pool=more_texts).predict(others)
    """

    def __init__(
        self,
        task: Any = None,
        *,
        model: str | None = None,
        student_model: str | None = None,
        encoder: str | None = None,
        preset: str = "default",
        settings: Mapping[str, Any] | None = None,
        random_state: Any = 42,
        runs_dir: str | Path | None = None,
        verbose: bool = False,
    ):
        self.task = task
        self.model = model
        self.student_model = student_model
        self.encoder = encoder
        self.preset = preset
        self.settings = settings
        self.random_state = random_state
        self.runs_dir = runs_dir
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = True  # such rows are set aside
        tags.target_tags.required = False
        return tags

    def fit(self, X: Any, y: Any = None, *, pool: Any = None) -> PetClassifier:
        """Train on labeled and unlabeled texts.

        Args:
            X: texts, or a table with a column per field of the task: a DataFrame with columns of
                these names, or rows with the fields in order.
            y: a label per row: text, whole numbers or booleans that read like the task's labels.
                None, NaN and -1 (unless it is a label) mark rows without one, which join the
                pool, as in `sklearn.semi_supervised`. Without y, the words alone make a start.
                Of a task with `labels_per_text = "any"`: an indicator matrix, a column for each
                label, sorted as by `MultiLabelBinarizer`, or a DataFrame of such columns, or a list
                of labels for each row; rows of -1, and None, have no answer.
            pool: unlabeled texts in any form that X may have, or the `Path` of a file or folder of
                them, which is streamed. To `GridSearchCV.fit(X, y, pool=...)` and the like give a
                `Path`: they take a list as long as X for one value per row.

        Raises:
            InputError: a `ValueError` that lists what is wrong.
            PetError: a stage failed.
        """
        given = self._given(X, y, pool)
        if not given.has_pool():
            warnings.warn(NO_POOL, UserWarning, stacklevel=2)
        if line := _lost_labels(given.names, given.task.labels, y):
            warnings.warn(line, UserWarning, stacklevel=2)
        with self._room() as room:
            folder = room / given.name()
            config = given.write(folder)
            try:
                self.report_ = label_pool(config, observer=self._observer(config), update=True)
            except InputError:
                if not (folder / "manifest.json").exists():  # wrong inputs leave nothing behind
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            self._adopt(
                open_student(
                    folder / "student",
                    device=config.device,
                    precision=config.precision,
                    tokens_per_batch=config.tokens_per_batch,
                ),
                given.classes,
            )
            self.run_dir_ = None if self.runs_dir is None else folder
        if np.ndim(X) == 2:
            self.n_features_in_ = np.shape(X)[1]
        return self

    def _given(self, X: Any, y: Any, pool: Any) -> FitInputs:
        """Put everything that `fit` was given, and the parameters, into one checked value."""
        named = {"pool": pool, "runs_dir": self.runs_dir}
        places = {name: place for name, place in named.items() if isinstance(place, str)}
        if problems := [found for found in map(place_problem, places, places.values()) if found]:
            raise InputError(problems)  # a `Path` of an address would be a local folder `s3:`
        task = read_task(self.task)
        texts = text_columns(X, task.fields)
        known = known_sets if task.several else known_labels
        names, classes = known(y, task.labels, rows=len(next(iter(texts.values()))))
        if pool is not None and not isinstance(pool, str | Path):
            pool = text_columns(pool, task.fields, "pool")
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        values = {
            "model": self.model,
            "student_model": self.student_model,
            "encoder": self.encoder,
            "preset": self.preset,
            "seed": int(seed),
        }
        given = FitInputs(
            task,
            texts,
            names,
            classes,
            Path(pool) if isinstance(pool, str) else pool,
            values,
            dict(self.settings or {}),
        )
        given.check()
        return given

    @contextlib.contextmanager
    def _room(self) -> Iterator[Path]:
        if self.runs_dir is not None:
            yield Path(self.runs_dir)
            return
        with tempfile.TemporaryDirectory(prefix="pet-") as room:
            yield Path(room)

    def _observer(self, config: RunConfig) -> Observer:
        names = {str(config.labeled): "X, y", config.pool: "pool"}
        return Lines(names) if self.verbose else Warnings(names)

    def _adopt(self, student: Student, classes: NDArray[Any]) -> None:
        student.record = student.record.model_copy(update={"classes": tuple(classes.tolist())})
        self.student_, self.classes_ = student, classes

    def predict_proba(self, X: Any) -> NDArray[np.floating]:
        """Ask the student about texts. [rows, classes], in the order of `classes_`

        Raises:
            NotFittedError: there is no student yet.
            InputError: X is no texts, or a text is missing.
        """
        check_is_fitted(self, "student_")
        fields = self.student_.record.fields
        return self.student_.probabilities(complete(text_columns(X, fields)))[:, self._places()]

    def _places(self) -> list[int]:
        """Return the place of every class among the student's labels."""
        labels = self.student_.record.labels
        return [labels.index(str(label_name(c))) for c in self.classes_]

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest class of each text. [rows]

        Where a text may have several labels: 1 for those that it is given, by the student's
        thresholds, else 0. [rows, classes]
        """
        probabilities = self.predict_proba(X)
        if not self.student_.record.outcome.several:
            return np.asarray(self.classes_[probabilities.argmax(axis=1)])
        chosen = self.student_.record.outcome.choose(self._by_label(probabilities))
        return chosen[:, self._places()].astype(np.int64)

    def _by_label(self, probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return probabilities of classes in the order of the student's labels. [rows, labels]"""
        return probabilities[:, np.argsort(self._places())]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy; where a text may have several labels, that of whole rows.

        Args:
            y: as in `fit`, with an answer for every row.

        Raises:
            NotFittedError: there is no student yet.
            InputError: X or y is something else.
        """
        check_is_fitted(self, "student_")
        record = self.student_.record
        if record.outcome.several:
            rows, classes = known_sets(y, record.labels, len(y))
            y = indicators([own or () for own in rows], classes.tolist()).astype(np.int64)
        return float(super().score(X, y, sample_weight))

    def predict_frame(self, X: Any) -> Any:
        """Return a pandas DataFrame with X's index: `label`, `confidence`, `entropy`, and one
        column `probability of <class>` per class; of several labels a text, lists in `labels`.

        Raises:
            InputError: pandas is not installed; otherwise as `predict_proba`.
        """
        try:
            import pandas as pd
        except ImportError:
            raise missing_package("pandas", "pandas", "PetClassifier.predict_frame") from None
        probabilities = self.predict_proba(X)
        outcome, by_label = self.student_.record.outcome, self._by_label(probabilities)
        chosen = outcome.choose(by_label)
        of_class = chosen[:, self._places()] if outcome.several else probabilities.argmax(axis=1)
        labels: dict[str, Any] = (
            {"labels": [self.classes_[own > 0].tolist() for own in of_class]}
            if outcome.several
            else {"label": self.classes_[of_class]}
        )
        columns = {
            **labels,
            "confidence": outcome.confidence(by_label, chosen),
            "entropy": outcome.entropy(by_label),
        }
        columns |= {
            f"probability of {label}": probabilities[:, place]
            for place, label in enumerate(self.classes_)
        }
        index = getattr(X, "index", None)  # of a list, it is a method
        return pd.DataFrame(columns, index=None if callable(index) else index)

    def save(self, path: str | Path) -> Path:
        """Write the student as a new folder that transformers and `load` read; no pickle.

        Raises:
            NotFittedError: there is no student yet.
            InputError: something is there already, or the place cannot be written.
        """
        check_is_fitted(self, "student_")
        folder = Path(path)
        sweep(folder.parent, below=False)
        if folder.exists():
            raise InputError(
                Problem(
                    str(folder),
                    "a folder that does not exist yet",
                    "something is there",
                    "choose another path, or remove it",
                )
            )
        with writing(folder) as temporary:
            self.student_.save(temporary)
        return folder

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> PetClassifier:
        """Return a fitted classifier from what `save` or `pet export` wrote, or from a run folder.

        It is there to predict: its parameters are the defaults, since task and teacher stay where
        they were trained.

        Raises:
            InputError: no student is there, or one that a newer version made.
        """
        folder = Path(path)
        if (folder / "student").is_dir():
            student = student_of(open_run(folder), device=device)
        else:
            student = open_student(folder, device=device)
        loaded = cls()
        loaded._adopt(student, student.classes())
        return loaded


def _lost_labels(
    names: Sequence[str | tuple[str, ...] | None], labels: Sequence[str], y: Any
) -> str:
    """Warn of labels that `y` may have lost on its way; empty where there is nothing to say."""
    if y is None or None not in names:
        return ""
    if lost := [label for label in labels if label in GAPS and label not in names]:
        return (
            f"no row has the label {listed(lost)}, and {names.count(None):,} rows have none: "
            "pandas reads such a label as a gap; read with keep_default_na=False"
        )
    if any(name is not None for name in names):
        return ""
    return "no row of y has a label: nothing is learned from labels"


class Warnings(Observer):
    """What the command warns of, as Python warnings.

    Args:
        names: what texts and labels are called, by the paths that they were written to.
    """

    def __init__(self, names: Mapping[str, str]):
        self._names = names

    def note(self, line: str) -> None:
        mark, _, text = line.partition("warning: ")
        if text and not mark:
            for path, name in self._names.items():
                text = text.replace(path, name)
            warnings.warn(text, UserWarning, stacklevel=1)


class Lines(Warnings):
    """Stages and remarks as lines on standard error, too."""

    def begin(self, stage: str, total: int | None, unit: str) -> None:
        self._write(stage if total is None else f"{stage}: {total:,} {unit}")

    def note(self, line: str) -> None:
        super().note(line)
        self._write(line)

    def _write(self, line: str) -> None:
        sys.stderr.write(f"{visible(line)}\n")
