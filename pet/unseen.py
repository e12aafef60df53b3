"""What is said of labeled rows by those who have not learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.ensembling import combine
from pet.inputs import Inputs
from pet.judges import judge_for, left_out
from pet.lineage import teachers_of
from pet.logits import read_logits
from pet.members import ENOUGH, Member, folder_of

HELD_OUT = "held_out.parquet"  # what is said of labeled rows by who had not learned from them


def unseen_rows(inputs: Inputs, member: Member) -> NDArray[np.bool_]:
    """Say of which labeled rows somebody can speak for a member who has not learned from them.

    Untrained members have learned from none. For trained ones their judges speak, of the rows that
    they left out; that nobody was shown these rows is not enough, for teachers hand on what they
    have learned: a student that has never seen them gets far more of them right than of others.
    The encoder member is cross-validated. [rows]
    """
    rows = np.zeros(len(inputs.labeled), dtype=bool)
    if member.kind == "encoder":
        rows[:] = not _was_told(inputs, member) and answers_path(inputs, member).exists()
    elif member.generation is None:
        rows[:] = True
    elif (judge := judge_for(inputs, member)) is not None:
        rows[left_out(inputs, judge)] = True
    return rows


def answers_path(inputs: Inputs, member: Member) -> Path:
    """Where scores of labeled rows lie that speak for a member: its own, or its judge's."""
    if member.kind == "encoder":
        return folder_of(inputs, member) / HELD_OUT
    if (judge := judge_for(inputs, member)) is not None:
        return folder_of(inputs, judge) / HELD_OUT
    return folder_of(inputs, member) / "logits" / "labeled.parquet"


def _was_told(inputs: Inputs, member: Member) -> bool:
    """Say whether some teacher of an encoder member knows the labeled rows, and hands them on."""
    teachers = teachers_of(inputs, member) if member.generation else []
    return any(not (t.kind == "pattern" and t.generation is None) for t in teachers)


def unseen_answers(
    inputs: Inputs, members: Sequence[Member], weights: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.floating]] | None:
    """What members say together of labeled rows, each row by those who have not learned from it.

    Only rows that every kind of member, patterns and encoder, has a say on are given: what a part
    of the ensemble says is no measure of the whole.

    Returns:
        rows, and their logits [rows, labels]; None where there are too few.
    """
    heard = np.stack([unseen_rows(inputs, member) for member in members])
    kinds = np.array([member.kind for member in members])
    told = [heard[kinds == kind].any(axis=0) for kind in np.unique(kinds)]
    rows = np.flatnonzero(np.all(told, axis=0)).astype(np.int64)
    if len(rows) < ENOUGH:
        return None
    stack = [
        read_logits(answers_path(inputs, member))[1][rows]
        if own.any() else np.zeros((len(rows), len(inputs.task.labels)), np.float32)
        for member, own in zip(members, heard, strict=True)
    ]  # fmt: skip
    return rows, combine(np.stack(stack), weights, heard[:, rows])
