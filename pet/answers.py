"""What members said, and the sentence encoder's vectors: read back from the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.errors import PetError
from pet.inputs import Inputs
from pet.logits import read_logits
from pet.members import Member, folder_of
from pet.sampling import unlabeled_rows


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
