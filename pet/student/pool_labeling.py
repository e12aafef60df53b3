"""The student labels the pool of its run, in one go or in blocks side by side."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from pet.data.pool import PoolBatch
from pet.ensemble.members import Member
from pet.ensemble.predictions import pool_votes
from pet.inputs.inputs import Inputs, computation
from pet.inputs.pool_sample import pool_rows, unlabeled_rows
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


def label_with_student(inputs: Inputs, members: list[Member], student: Unit, shards: range) -> Unit:
    """Write shards of `labels/`: the student's probabilities and the members' agreement."""
    config = inputs.config
    model = load_classifier(config, inputs.folder / student.path)
    encoder = plain_encoder(model.tokenizer, inputs.task.fields, config.student_length)
    votes = MemberVotes(inputs, members)

    def predict(batch: PoolBatch, tick: Tick) -> Predictions:
        logits = score_columns(model, encoder, batch.columns, config.tokens_per_batch, tick)
        return Predictions(softmax(logits), votes.agreement(batch.rows, logits.argmax(axis=1)))

    expected = fingerprint(
        student=student.fingerprint,
        pool=inputs.digests["pool"],
        **computation(config, config.student_length),
    )
    metadata = label_metadata(inputs.task.name, inputs.run_id, student.fingerprint, "student")
    folder, labels = inputs.folder / "labels", inputs.task.labels
    writer = LabelWriter(folder, labels, config, expected, metadata, inputs.run_folder.push)
    rows = pool_rows(inputs)
    written, reused = writer.label_shards(inputs.pool, shards, rows, predict, inputs.observer)
    return Unit(folder, expected, written == 0 and reused > 0)


class MemberVotes:
    """The members' best labels of the pool rows that they scored."""

    def __init__(self, inputs: Inputs, members: list[Member]):
        self._votes = pool_votes(inputs, members)
        self._rows = unlabeled_rows(inputs).rows

    def agreement(self, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.floating]:
        """Share of members with the same label; NaN for rows that they did not score. [rows]"""
        place = np.searchsorted(self._rows, rows)
        inside = place < len(self._rows)
        inside[inside] = self._rows[place[inside]] == rows[inside]
        share = np.full(len(rows), np.nan)
        if inside.any():
            share[inside] = agreement(self._votes[:, place[inside]], labels[inside])
        return share
