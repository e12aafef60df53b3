"""What members said, and the sentence encoder's vectors: read back from the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.ensemble.logits import read_logits
from pet.ensemble.members import ENOUGH, Member, folder_of
from pet.ensemble.teachers import held_out_for, held_out_rows, teachers_of
from pet.errors import PetError
from pet.inputs.inputs import Inputs
from pet.inputs.pool_sample import unlabeled_rows
from pet.method.ensembling import combine

HELD_OUT_LOGITS = "held_out.parquet"  # of labeled rows, by a member that was not trained on them


def out_of_fold_rows(inputs: Inputs, member: Member) -> NDArray[np.bool_]:
    """Say of which labeled rows somebody can speak for a member who has not learned from them.

    Untrained members have learned from none. For trained ones their judges speak, of the rows that
    they left out; that nobody was shown these rows is not enough, for teachers hand on what they
    have learned: a student that has never seen them gets far more of them right than of others.
    The encoder member is cross-validated. [rows]
    """
    rows = np.zeros(len(inputs.labeled), dtype=bool)
    if member.kind == "encoder":
        rows[:] = not _was_told(inputs, member) and out_of_fold_path(inputs, member).exists()
    elif member.generation is None:
        rows[:] = True
    elif (held_out := held_out_for(inputs, member)) is not None:
        rows[held_out_rows(inputs, held_out)] = True
    return rows


def out_of_fold_path(inputs: Inputs, member: Member) -> Path:
    """Where scores of labeled rows lie that speak for a member: its own, or its judge's."""
    if member.kind == "encoder":
        return folder_of(inputs, member) / HELD_OUT_LOGITS
    if (held_out := held_out_for(inputs, member)) is not None:
        return folder_of(inputs, held_out) / HELD_OUT_LOGITS
    return folder_of(inputs, member) / "logits" / "labeled.parquet"


def _was_told(inputs: Inputs, member: Member) -> bool:
    """Say whether some teacher of an encoder member knows the labeled rows, and hands them on."""
    teachers = teachers_of(inputs, member) if member.generation else []
    return any(not (t.kind == "pattern" and t.generation is None) for t in teachers)


def out_of_fold_logits(
    inputs: Inputs, members: Sequence[Member], weights: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.floating]] | None:
    """What members say together of labeled rows, each row by those who have not learned from it.

    Only rows that every kind of member, patterns and encoder, has a say on are given: what a part
    of the ensemble says is no measure of the whole.

    Returns:
        rows, and their logits [rows, labels]; None where there are too few.
    """
    heard = np.stack([out_of_fold_rows(inputs, member) for member in members])
    kinds = np.array([member.kind for member in members])
    told = [heard[kinds == kind].any(axis=0) for kind in np.unique(kinds)]
    rows = np.flatnonzero(np.all(told, axis=0)).astype(np.int64)
    if len(rows) < ENOUGH:
        return None
    stack = [
        read_logits(out_of_fold_path(inputs, member))[1][rows]
        if own.any()
        else np.zeros((len(rows), len(inputs.task.labels)), np.float32)
        for member, own in zip(members, heard, strict=True)
    ]
    return rows, combine(np.stack(stack), weights, heard[:, rows])


def pool_logits(inputs: Inputs, members: Sequence[Member]) -> NDArray[np.float32]:
    """Read what members say of all unlabeled rows. [members, rows, labels]"""
    shape = (len(members), len(unlabeled_rows(inputs)), len(inputs.task.labels))
    found = np.empty(shape, np.float32)  # there are rows for every label: no room for it twice
    end = 0
    for name in shard_names(inputs):
        ids, logits = stacked_logits(inputs, members, name)
        start, end = end, end + len(ids)
        found[:, start:end] = logits
    assert end == shape[1], "every unlabeled row is in one file"
    return found


def pool_votes(inputs: Inputs, members: Sequence[Member]) -> NDArray[np.int64]:
    """Read which label members find best for each unlabeled row. [members, rows]"""
    return np.concatenate(
        [stacked_logits(inputs, members, name)[1].argmax(axis=-1) for name in shard_names(inputs)],
        axis=1,
    )


def embeddings_path(inputs: Inputs, file: str) -> Path:
    """Where the sentence encoder's vectors of a table or of some unlabeled rows are kept."""
    return inputs.folder / "embeddings" / file


def table_embeddings(inputs: Inputs, source: str) -> NDArray[np.float32]:
    """Read the embeddings of the labeled set or the test set. [rows, width]"""
    if source not in inputs.measured():  # no labeled set: no rows, of the width that the pool has
        return pool_embeddings(inputs)[:0]
    return read_logits(embeddings_path(inputs, f"{source}.parquet"))[1]


def pool_embeddings(inputs: Inputs) -> NDArray[np.float32]:
    """Read the embeddings of all unlabeled rows. [rows, width]"""
    files = [embeddings_path(inputs, name) for name in shard_names(inputs)]
    return np.concatenate([read_logits(path)[1] for path in files])


def shard_names(inputs: Inputs) -> list[str]:
    """The files into which the scores of the unlabeled rows are cut."""
    rows, size = len(unlabeled_rows(inputs)), inputs.config.shard_rows
    return [f"part-{shard:05d}.parquet" for shard in range(-(-rows // size))]


def stacked_logits(
    inputs: Inputs, members: Sequence[Member], file: str
) -> tuple[list[str], NDArray[np.float32]]:
    """Stack what every member said in one of its files: row ids, and [members, rows, labels].

    Raises:
        PetError: a member's file is missing, or its rows are others.
    """
    stack: list[NDArray[np.float32]] = []
    ids: list[str] | None = None
    for member in members:
        path = folder_of(inputs, member) / "logits" / file
        if not path.exists():
            raise PetError(f"{path}: the scores of member {member.name} are missing; run again")
        own_ids, logits = read_logits(path)
        if ids is not None and own_ids != ids:
            raise PetError(f"{path}: the rows of member {member.name} are others; run again")
        ids = own_ids
        stack.append(logits)
    assert ids is not None, "an ensemble has a member"
    return ids, np.stack(stack)
