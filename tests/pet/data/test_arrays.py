"""Texts and labels as Python holds them: every usual form, and what is wrong said at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from pet.data.arrays import complete, known_labels, known_sets, text_columns
from pet.errors import InputError

TEXTS = ["one", "two"]
LABELS = ("0", "1", "2")


@pytest.mark.parametrize(
    "X",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS, index=[7, 7]),
        pd.Series(TEXTS, dtype="category"),
        pd.DataFrame({"more": [1, 2], "text": TEXTS}),
        pa.table({"more": [1, 2], "text": TEXTS}),
        pa.chunked_array([["one"], ["two"]]),
        [["one"], ["two"]],
        np.array(TEXTS).reshape(2, 1),
    ],
)
def test_every_usual_form_of_texts_is_taken(X: Any) -> None:
    assert text_columns(X, ["text"]) == {"text": TEXTS}


def test_fields_of_a_frame_go_by_name_and_those_of_rows_by_place() -> None:
    frame = pd.DataFrame({"b": ["x"], "a": ["y"]})
    assert text_columns(frame, ["a", "b"]) == {"a": ["y"], "b": ["x"]}
    assert text_columns(frame.to_numpy(), ["a", "b"]) == {"a": ["x"], "b": ["y"]}


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA])
def test_what_stands_for_nothing_is_no_text(nothing: Any) -> None:
    for X in (["a", nothing], pd.Series(["a", nothing], dtype=object)):
        assert text_columns(X, ["text"]) == {"text": ["a", None]}
    with pytest.raises(InputError, match="none in 1 rows, the first is row 1"):
        complete({"text": ["a", None]})


@pytest.mark.parametrize(
    ("X", "fields", "said"),
    [
        ("one text", ["text"], "one str"),
        ([1, 2], ["text"], "int"),
        (np.zeros((2, 3)), ["text"], "rows of 3"),
        (["a \ud800"], ["text"], "texts"),
        (TEXTS, ["a", "b"], "single texts"),
        ([["a", "b"], ["c"]], ["a", "b"], "rows of 1, 2"),
        (pd.DataFrame({"txt": TEXTS}), ["text"], "'txt'"),
        (iter(TEXTS), ["text"], "iterator"),
    ],
)
def test_other_things_than_texts_are_refused(X: Any, fields: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        text_columns(X, fields)


def test_what_is_missing_beside_a_text_is_an_empty_field() -> None:
    assert complete({"a": ["x", None], "b": [None, "y"]}) == {"a": ["x", ""], "b": ["", "y"]}
    with pytest.raises(InputError, match="none in 1 rows, the first is row 1"):
        complete({"a": ["x", None], "b": [None, None]})


def test_no_rows_cannot_be_asked_about() -> None:
    with pytest.raises(InputError, match="no rows"):
        complete(text_columns([], ["text"]))


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (["2", "0"], ["0", "1", "2"]),
        ([2, 0], [0, 1, 2]),
        (np.array([2, 0], dtype=np.int8), [0, 1, 2]),
        (pd.Series([2.0, 0.0]), [0.0, 1.0, 2.0]),
        (pd.Series(["2", "0"], dtype="category"), ["0", "1", "2"]),
        (pd.Series([2, 0], dtype="Int64"), [0, 1, 2]),
    ],
)
def test_classes_are_all_labels_of_the_task_in_the_type_of_y(y: Any, classes: list[Any]) -> None:
    """A label without an example can be predicted too; its class must not be missing."""
    names, found = known_labels(y, LABELS, 2)
    assert names == ["2", "0"]
    assert found.tolist() == classes
    assert {type(c) for c in found.tolist()} == {type(c) for c in classes}


def test_booleans_are_classes() -> None:
    names, found = known_labels([True, False], ("True", "False"), 2)
    assert (names, found.tolist()) == (["True", "False"], [False, True])


@pytest.mark.parametrize(
    "y",
    [
        ["1", None],
        ["1", -1],
        np.array([1, -1]),
        pd.Series([1, None]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["1", np.nan]),
        [1.0, float("nan")],
    ],
)
def test_rows_without_a_label_are_marked_in_every_usual_way(y: Any) -> None:
    assert known_labels(y, LABELS, 2)[0] == ["1", None]


def test_minus_one_is_a_label_where_the_task_says_so() -> None:
    names, classes = known_labels([-1, 1, None], ("-1", "1"), 3)
    assert names == ["-1", "1", None]
    assert classes.tolist() == [-1, 1]


def test_without_y_no_row_is_labeled_and_classes_are_text() -> None:
    names, classes = known_labels(None, ("b", "a"), 2)
    assert (names, classes.tolist()) == ([None, None], ["a", "b"])


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["1", "9", "8"], "other labels: '8', '9'"),
        (["1", "2"], "2 labels"),
        (["1", 2, "0"], "int, str"),
        (np.array([0.5, 1, 2]), r"'0\.5'"),
    ],
)
def test_labels_that_are_not_the_tasks_are_refused(y: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        known_labels(y, LABELS, 3)


def test_numbers_do_not_stand_for_labels_that_are_words() -> None:
    with pytest.raises(InputError, match="labels of one kind"):
        known_labels([1], ("1", "sport"), 1)


NAMES = ("sport", "art", "news")  # sorted: art, news, sport
SETS = [("sport",), (), ("art", "sport"), None]


@pytest.mark.parametrize(
    "y",
    [
        [["sport"], [], ["art", "sport"], None],
        [{"sport"}, set(), {"sport", "art"}, float("nan")],
        np.array([[0, 0, 1], [0, 0, 0], [1, 0, 1], [-1, -1, -1]]),
        [[False, False, True], [0, 0, 0], [1.0, 0.0, 1.0], [float("nan")] * 3],
        pd.DataFrame({"sport": [1, 0, 1, -1], "art": [0, 0, 1, -1], "news": [0, 0, 0, -1]}),
        pd.Series([["sport"], [], ["art", "sport"], None]),
    ],
)
def test_sets_of_labels_come_as_lists_indicators_or_named_columns(y: Any) -> None:
    found, classes = known_sets(y, NAMES, 4)
    assert [own if own is None else tuple(sorted(own)) for own in found] == SETS
    assert classes.tolist() == ["art", "news", "sport"]


def test_a_sparse_indicator_matrix_is_read_as_a_dense_one() -> None:
    found, _ = known_sets(csr_array(np.array([[0, 1, 0], [0, 0, 0]])), NAMES, 2)
    assert found == [("news",), ()]


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["sport", "art"], "'sport'"),
        ([["sport"], ["arts"]], "other labels: 'arts'"),
        ([[0, 1, 0], [0, 2, 0]], "'0', '2', '0' in a row"),
        ([[0, 1, 0]], "1 rows for 2 of X"),
        (pd.DataFrame({"sport": [1, 0], "art": [0, 0]}), "the columns 'sport', 'art'"),
    ],
)
def test_what_is_no_set_of_labels_is_refused(y: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        known_sets(y, NAMES, 2)
    assert said in caught.value.problems[0].found
