"""Labels as the leaves of a tree: probabilities of parents, and how far down a text is sure of.

Labels are paths such as `sport/football`. A parent is as likely as its children together. Where a
parent is a label itself (`sport` beside `sport/football`), it has a leaf of its own, for texts that
are of none of its children. Numpy in, numpy out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.method.metrics import confusion_matrix, macro_f1_of

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Level:
    """The nodes at one depth of a tree; a leaf above it stands in it as well.

    Attributes:
        names: of the nodes, in the order of their first leaf.
        node_of: of each leaf, its node here. [labels]
    """

    names: tuple[str, ...]
    node_of: NDArray[np.int64]

    def sums(self, probabilities: Array) -> Array:
        """Add up the leaves of every node. [rows, labels] -> [rows, nodes]"""
        found = np.zeros((len(probabilities), len(self.names)))
        np.add.at(found.T, self.node_of, np.asarray(probabilities, np.float64).T)
        return found


@dataclass(frozen=True)
class Path:
    """The way down the tree that texts take: at every level to the likeliest child.

    Attributes:
        nodes: at each level, by their place in it. [rows, levels]
        probabilities: of these nodes. [rows, levels]
    """

    nodes: NDArray[np.int64]
    probabilities: Array

    def sure(self, threshold: float) -> NDArray[np.bool_]:
        """Mark the levels down to which a text is sure. [rows, levels]"""
        return np.asarray(self.probabilities >= threshold)


@dataclass(frozen=True)
class LabelTree:
    """The tree that labels with a separator in them make."""

    labels: tuple[str, ...]
    separator: str

    @classmethod
    def of(cls, labels: tuple[str, ...], separator: str) -> LabelTree | None:
        """Return the tree of a task's labels; None where a separator makes none of them."""
        return cls(labels, separator) if separator else None

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels, from the top; at the last every label is a node."""
        parts = [label.split(self.separator) for label in self.labels]
        found = []
        for depth in range(1, max(map(len, parts)) + 1):
            # Below its own depth, a parent's own leaf is apart from its children.
            own = [(self.separator.join(part[:depth]), len(part) < depth) for part in parts]
            places = {node: place for place, node in enumerate(dict.fromkeys(own))}
            node_of = np.array([places[node] for node in own])
            found.append(Level(tuple(name for name, _ in places), node_of))
        return tuple(found)

    def path(self, probabilities: Array) -> Path:
        """Go down from the top, always to the likeliest child. probabilities: [rows, labels]"""
        open_leaves = np.ones(probabilities.shape, bool)
        nodes, chances = [], []
        for level in self.levels:
            sums = level.sums(probabilities)
            below = level.sums(open_leaves) > 0
            best = np.where(below, sums, -1).argmax(axis=1)
            open_leaves &= level.node_of == best[:, None]
            nodes.append(best)
            chances.append(sums[np.arange(len(best)), best])
        return Path(np.stack(nodes, axis=1), np.minimum(np.stack(chances, axis=1), 1))

    def measured(
        self, probabilities: Array, truth: NDArray[np.int64], threshold: float
    ) -> list[dict[str, Any]]:
        """Measure each level: accuracy and macro-F1 of its nodes, and of rows that are sure of it.

        Returns:
            per level: `nodes` (how many), `accuracy`, `macro_f1`, `coverage` (the share of rows
            that get as far down), `sure_accuracy` (of these; None where there are none).
        """
        path, found = self.path(probabilities), []
        for depth, level in enumerate(self.levels):
            true, predicted = level.node_of[truth], path.nodes[:, depth]
            right, sure = true == predicted, path.sure(threshold)[:, depth]
            confusion = confusion_matrix(true, predicted, len(level.names))
            found.append(
                {
                    "nodes": len(level.names),
                    "accuracy": round(float(right.mean()), 4),
                    "macro_f1": round(macro_f1_of(confusion), 4),
                    "coverage": round(float(sure.mean()), 4),
                    "sure_accuracy": round(float(right[sure].mean()), 4) if sure.any() else None,
                }
            )
        return found
