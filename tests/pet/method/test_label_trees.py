"""Trees of labels: parents are the sums of their children, and a text stops where it is unsure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pet.method.label_trees import LabelTree

LABELS = ("sport/football", "politics", "sport/tennis", "sport", "sport/football/cup")
TREE = LabelTree(LABELS, "/")


def probabilities(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows) / np.sum(rows, axis=1, keepdims=True)


def test_levels_name_their_nodes_and_a_parent_has_a_leaf_of_its_own() -> None:
    names = [level.names for level in TREE.levels]
    assert names == [
        ("sport", "politics"),
        ("sport/football", "politics", "sport/tennis", "sport"),
        ("sport/football", "politics", "sport/tennis", "sport", "sport/football/cup"),
    ]
    assert TREE.levels[1].node_of.tolist() == [0, 1, 2, 3, 0]


@given(st.lists(st.lists(st.floats(0.01, 1), min_size=5, max_size=5), min_size=1, max_size=4))
def test_a_parent_is_as_likely_as_its_children_together(rows: list[list[float]]) -> None:
    own = probabilities(rows)
    for level in TREE.levels:
        np.testing.assert_allclose(level.sums(own).sum(axis=1), 1)
    top, second, leaves = (level.sums(own) for level in TREE.levels)
    np.testing.assert_allclose(top[:, 0], second[:, [0, 2, 3]].sum(axis=1))
    np.testing.assert_allclose(second[:, 0], leaves[:, [0, 4]].sum(axis=1))
    np.testing.assert_allclose(np.sort(leaves), np.sort(own))
    path = TREE.path(own)
    assert (np.diff(path.probabilities, axis=1) <= 1e-9).all(), "a child likelier than its parent"


def test_the_way_down_never_leaves_its_branch() -> None:
    """The likeliest leaf may stand in a branch that is less likely as a whole."""
    path = TREE.path(probabilities([[0.2, 0.4, 0.2, 0.2, 0.0], [0.1, 0.7, 0.1, 0.1, 0.0]]))
    assert path.nodes[:, 0].tolist() == [0, 1]
    assert path.probabilities[0, 0] == pytest.approx(0.6)
    assert path.nodes[0, 1] != 1
    assert path.nodes[1].tolist() == [1, 1, 1], "a leaf at the top stands in every level below"
    assert path.sure(0.5).tolist() == [[True, False, False], [True, True, True]]


def test_figures_of_a_level_are_those_of_its_nodes() -> None:
    own = probabilities([[0.9, 0.1, 0, 0, 0], [0.2, 0.1, 0.7, 0, 0], [0.3, 0.4, 0.3, 0, 0]])
    top, second, _ = TREE.measured(own, np.array([0, 0, 1]), 0.6)
    assert top["nodes"] == 2
    assert top["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert top["coverage"] == 1.0
    assert second["accuracy"] == pytest.approx(1 / 3, abs=1e-4)
    assert second["coverage"] == pytest.approx(2 / 3, abs=1e-4)
    assert second["sure_accuracy"] == 0.5
    assert TREE.measured(own, np.array([0, 0, 1]), 1.0)[2]["sure_accuracy"] is None


def test_without_a_separator_labels_are_no_tree() -> None:
    assert LabelTree.of(("a/b", "c"), "") is None
    assert LabelTree.of(("a/b", "c"), "/") is not None
