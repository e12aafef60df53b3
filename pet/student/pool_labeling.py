"""Student and ensemble label the pool of their run, in one go or in blocks side by side."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pet.data.pool import PoolBatch
from pet.ensemble.members import Member
from pet.inputs.inputs import computation
from pet.inputs.pool_sample import pool_rows
from pet.inputs.session import Session
from pet.method.label_trees import LabelTree
from pet.models.scoring import Columns
from pet.progress import Tick
from pet.storage.units import Unit, fingerprint
from pet.student.exits import load_labeler, scores_and_layers
from pet.student.label_choice import LabelChoice
from pet.student.label_files import LabelWriter, Predictions, label_metadata
from pet.student.scored_rows import ScoredRows
from pet.student.student_folder import Student, student_outcome

BLOCKS_PER_WORKER = 4  # so that the last block takes little time


def cut_shards(shards: int, workers: int) -> list[range]:
    """Cut the shards of a pool into blocks of nearly equal size: one, or some per worker."""
    wanted = BLOCKS_PER_WORKER * workers if workers > 1 else 1
    pieces = max(1, min(shards, wanted))
    ends = [round(shards * piece / pieces) for piece in range(pieces + 1)]
    return [range(*pair) for pair in itertools.pairwise(ends)]


def label_own_pool(
    session: Session,
    members: Sequence[Member],
    student: Unit,
    soft: Unit,
    choice: LabelChoice,
    shards: range,
    exits: Unit | None = None,
) -> Unit:
    """Write shards of `labels/`: the probabilities of who was chosen, and the members' agreement.

    The ensemble labels no rows but those that the members scored; the student labels the others.

    Args:
        exits: the student's early exits, if it has any.
    """
    config, outcome = session.config, student_outcome(session)
    scored = ScoredRows(session, members)

    @functools.cache
    def load() -> Student:
        return load_labeler(config, session.task, session.folder)

    def by_student(columns: Columns, tick: Tick) -> Predictions:
        logits, layers = scores_and_layers(load(), columns, tick)
        probabilities = outcome.probabilities(logits)
        unknown = np.full(len(logits), np.nan)
        chosen = outcome.choose(probabilities)
        return Predictions(probabilities, unknown, "student", chosen, layers)

    def predict(batch: PoolBatch, tick: Tick) -> Predictions:
        if choice.model == "ensemble":
            return scored.predict("ensemble", batch, by_student, tick)
        found = by_student(batch.columns, tick)
        assert found.chosen is not None, "the student has chosen"
        return replace(found, agreement=scored.agreement(batch.rows, found.chosen))

    by_ensemble = {"ensemble": soft.fingerprint} if choice.model == "ensemble" else {}
    expected = fingerprint(
        student=student.fingerprint,
        pool=session.digests["pool"],
        **by_ensemble,
        **({} if exits is None else {"exits": exits.fingerprint}),
        **computation(config, config.student_length),
    )
    metadata = label_metadata(
        session.task.name, session.inputs.run_id, student.fingerprint, choice.labeled_with
    )
    folder, labels = session.folder / "labels", session.task.labels
    writer = LabelWriter(
        folder,
        labels,
        config,
        expected,
        {**metadata, **by_ensemble},
        session.run_folder.push,
        outcome=outcome,
        tree=LabelTree.of(labels, session.task.label_separator),
    )
    rows = pool_rows(session)
    written, reused = writer.label_shards(session.pool, shards, rows, predict, session.observer)
    return Unit(folder, expected, written == 0 and reused > 0)
