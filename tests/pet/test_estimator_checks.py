"""scikit-learn's own checks of classifiers.

They feed numbers, and skip estimators of texts. So that they run all the same, rows of numbers are
written as texts here; everything behind that is the classifier's own.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from pet.data.label_values import label_name
from pet.estimator import PetClassifier
from tests.conftest import ModelFolder
from tests.support import samples

WORDS = ("sport", "space", "business", "money", "game")
QUICK = {
    **samples.ESTIMATOR,
    "weights": "uniform",
    "member": {"steps": 0},
    "student.steps": 1,
    "supervised.steps": 0,
}


def as_texts(X: np.ndarray) -> list[str]:
    """Write rows of numbers as words and a number."""
    return [" ".join(WORDS[int(abs(v) * 3) % 5] for v in row) + f" {row[0]:.3f}" for row in X]


def task_of(y: Any) -> dict[str, Any]:
    """Make a task of the labels in `y`; it takes two, so that a single one gets a second."""
    names = [str(label_name(value)) for value in np.unique(y).tolist()]
    labels = names if len(names) > 1 else [*names, "7"]
    return {
        "labels": dict(zip(labels, WORDS, strict=False)),
        "patterns": {"last": "{text} the topic is {mask}"},
    }


class NumbersAsTexts(PetClassifier):
    """A classifier of tables of numbers, whose task follows from `y`."""

    folder: ClassVar[str]  # of the teacher, which there is none of yet when tests are collected

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = tags.input_tags.allow_nan = False
        tags.input_tags.two_d_array = tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any) -> NumbersAsTexts:  # type: ignore[override]
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # there is no pool
            super().fit(as_texts(X), y)
        return self

    def _given(self, X: Any, y: Any, pool: Any) -> Any:
        given = type(self)(task_of(y), model=self.folder, settings=QUICK)
        return PetClassifier._given(given, X, y, pool)

    def predict_proba(self, X: Any) -> Any:
        check_is_fitted(self, "student_")
        return super().predict_proba(as_texts(validate_data(self, X, reset=False)))


def expected_failures(classifier: PetClassifier) -> dict[str, str]:
    """What does not apply, and why."""
    return {
        "check_classifiers_train": "wants 83 % accuracy on three clouds of points: two untrained "
        "layers that read them as words do not get there",
        "check_classifiers_one_label": "a task has two labels at least, and one without an "
        "example is known by its word: it can be predicted",
    }


@pytest.fixture(scope="module", autouse=True)
def _teacher(model_folder: ModelFolder) -> None:
    NumbersAsTexts.folder = str(model_folder("bert"))


# Without SCIPY_ARRAY_API, scikit-learn skips one of its checks by itself.
CHECKS = parametrize_with_checks([NumbersAsTexts()], expected_failed_checks=expected_failures)

# Of numbers' types, which are texts before they reach the classifier.
OF_TYPES = ("memmap", "dtype", "not_an_array", "f_contiguous", "check_classifiers_classes")


def marked(parameters: Any) -> Any:
    """Leave checks of numbers' types to `make test-thorough`; keep the marks that there are."""
    own = parameters if hasattr(parameters, "marks") else pytest.param(*parameters)
    if not any(word in str(own.values[1]) for word in OF_TYPES):
        return own
    return pytest.param(*own.values, marks=[*own.marks, pytest.mark.thorough], id=own.id)


@pytest.mark.parametrize(CHECKS.args[0], [marked(own) for own in CHECKS.args[1]], **CHECKS.kwargs)
def test_scikit_learns_checks_hold(estimator: Any, check: Any) -> None:
    check(estimator)


def test_an_estimator_of_texts_says_so_in_its_tags() -> None:
    tags = PetClassifier().__sklearn_tags__()
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert not tags.target_tags.required  # words alone make a start
