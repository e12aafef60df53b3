"""The student labels the pool of its run, in one go or in blocks side by side."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pet.data.pool import PoolBatch
from pet.ensemble.members import Member
from pet.ensemble.predictions import pool_votes
from pet.inputs.inputs import computation
from pet.inputs.pool_sample import pool_rows, unlabeled_rows
from pet.inputs.session import Session
from pet.method.ensembling import agreement, softmax
from pet.models.scoring import score_columns
from pet.progress import Tick
from pet.storage.units import Unit, fingerprint
from pet.student.label_files import LabelWriter, Predictions, label_metadata
from pet.student.student_folder import load_classifier
from pet.tasks.compilation import plain_encoder

BLOCKS_PER_WORKER = 4  # so that the last block takes little time


def cut_shards(shards: int, workers: int) -> list[range]:
    """Cut the shards of a pool into blocks of nearly equal size: one, or some per worker."""
    wanted = BLOCKS_PER_WORKER * workers if workers > 1 else 1
    pieces = max(1, min(shards, wanted))
    ends = [round(shards * piece / pieces) for piece in range(pieces + 1)]
    return [range(*pair) for pair in itertools.pairwise(ends)]


def label_with_student(
    session: Session, members: Sequence[Member], student: Unit, shards: range
) -> Unit:
    """Write shards of `labels/`: the student's probabilities and the members' agreement."""
    config = session.config
    model = load_classifier(config, session.folder / student.path)
    encoder = plain_encoder(model.tokenizer, session.task.fields, config.student_length)
    votes = MemberVotes(session, members)

    def predict(batch: PoolBatch, tick: Tick) -> Predictions:
        logits = score_columns(model, encoder, batch.columns, config.tokens_per_batch, tick)
        return Predictions(softmax(logits), votes.agreement(batch.rows, logits.argmax(axis=1)))

    expected = fingerprint(
        student=student.fingerprint,
        pool=session.digests["pool"],
        **computation(config, config.student_length),
    )
    metadata = label_metadata(
        session.task.name, session.inputs.run_id, student.fingerprint, "student"
    )
    folder, labels = session.folder / "labels", session.task.labels
    writer = LabelWriter(folder, labels, config, expected, metadata, session.run_folder.push)
    rows = pool_rows(session)
    written, reused = writer.label_shards(session.pool, shards, rows, predict, session.observer)
    return Unit(folder, expected, written == 0 and reused > 0)


class MemberVotes:
    """The members' best labels of the pool rows that they scored."""

    def __init__(self, session: Session, members: Sequence[Member]):
        self._votes = pool_votes(session, members)
        self._rows = unlabeled_rows(session).rows

    def agreement(self, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.floating]:
        """Share of members with the same label; NaN for rows that they did not score. [rows]"""
        place = np.searchsorted(self._rows, rows)
        inside = place < len(self._rows)
        inside[inside] = self._rows[place[inside]] == rows[inside]
        share = np.full(len(rows), np.nan)
        if inside.any():
            share[inside] = agreement(self._votes[:, place[inside]], labels[inside])
        return share
