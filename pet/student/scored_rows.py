"""The pool rows that the members scored, and what is predicted of them: read, not asked again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pet.data.pool import PoolBatch
from pet.ensemble.logits import read_logits
from pet.ensemble.members import Member
from pet.ensemble.predictions import pool_votes
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.session import StoredRun
from pet.method.outcomes import Truth
from pet.models.scoring import Columns
from pet.progress import Tick
from pet.storage.files import read_record
from pet.storage.units import DONE
from pet.student.label_files import Predictions
from pet.student.soft_labels import decided_outcome, read_scaling, read_soft_labels
from pet.student.student_folder import student_outcome

STUDENT_SCORES = "student-pool.parquet"  # in `evaluation`, where the ensemble labels these rows


class ScoredRows:
    """What a run's models predict of the pool rows that the members scored."""

    def __init__(self, run: StoredRun, members: Sequence[Member]):
        self._run = run
        self._outcome = decided_outcome(run)
        record = read_record(run.folder / "soft_labels" / DONE)
        scaling = read_scaling(record, self._outcome, len(run.task.labels))
        self._votes = pool_votes(run, members, self._outcome, scaling)
        self._rows = unlabeled_rows(run).rows

    @cached_property
    def _ensemble(self) -> NDArray[np.floating]:
        """The calibrated probabilities: soft labels are these at the student's temperature."""
        soft = read_soft_labels(self._run)
        return self._outcome.unsoften(soft, self._run.config.temperature)

    @cached_property
    def _student(self) -> NDArray[np.floating]:
        scores = read_logits(self._run.folder / "evaluation" / STUDENT_SCORES)[1]
        return self._outcome.probabilities(scores)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find rows of the pool among these: their places, -1 where they are not. [rows]"""
        places = np.searchsorted(self._rows, rows)
        inside = places < len(self._rows)
        inside[inside] = self._rows[places[inside]] == rows[inside]
        return np.where(inside, places, -1)

    def agreement(self, rows: NDArray[np.int64], labels: Truth) -> NDArray[np.floating]:
        """Share of members with the same label; NaN for rows that they did not score. [rows]"""
        places = self.find(rows)
        inside = places >= 0
        share = np.full(len(rows), np.nan)
        if inside.any():
            votes = self._votes[:, places[inside]]
            share[inside] = self._outcome.agreement(votes, labels[inside])
        return share

    def probabilities(self, who: str, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """Read what student or ensemble predict of rows that are among these. [rows, labels]"""
        known = self._student if who == "student" else self._ensemble
        return known[self.find(rows)]

    def predict(
        self,
        who: str,
        batch: PoolBatch,
        others: Callable[[Columns, Tick], Predictions],
        tick: Tick,
    ) -> Predictions:
        """Read what student or ensemble predict of a batch; ask for the rows that are not here.

        Args:
            others: predicts these rows.
        """
        known = self.find(batch.rows) >= 0
        probabilities = np.empty((len(batch), len(self._run.task.labels)))
        share = np.full(len(batch), np.nan)
        source = np.full(len(batch), who, dtype=object)
        several = self._outcome.several
        chosen = np.zeros(probabilities.shape, np.bool_) if several else None
        layers = None
        if known.any():
            probabilities[known] = self.probabilities(who, batch.rows[known])
            outcome = self._outcome if who == "ensemble" else student_outcome(self._run)
            given = outcome.choose(probabilities[known])
            share[known] = self.agreement(batch.rows[known], given)
            if chosen is not None:
                chosen[known] = given
            tick(int(known.sum()))
        if not known.all():
            rest = np.flatnonzero(~known)
            columns = {name: [texts[row] for row in rest] for name, texts in batch.columns.items()}
            asked = others(columns, tick)
            probabilities[rest], share[rest] = asked.probabilities, asked.agreement
            source[rest] = asked.source
            if asked.layers is not None:
                layers = np.zeros(len(batch), np.int64)
                layers[rest] = asked.layers
            if chosen is not None and asked.chosen is not None:
                chosen[rest] = asked.chosen
        return Predictions(probabilities, share, source, chosen, layers)
