"""Members' scores and the sentence encoder's vectors, read back from the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.ensemble.lineup import ENOUGH, Lineup
from pet.ensemble.logits import read_logits
from pet.ensemble.members import Member, folder_of
from pet.errors import RUN_AGAIN, PetError, Problem
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.session import Session, StoredRun
from pet.method.calibration import Scaling
from pet.method.outcomes import Outcome, Truth
from pet.storage.files import read_record
from pet.storage.units import DONE

HELD_OUT_LOGITS = "held_out.parquet"  # out-of-fold scores of the labeled rows


def out_of_fold_rows(session: Session, lineup: Lineup, member: Member) -> NDArray[np.bool_]:
    """State of which labeled rows there are predictions for a member that are out of fold. [rows]

    An untrained member has learned from none, or its scores of these rows are out of fold (see
    `joint_training`). For a trained one its held-out member predicts the
    rows that it holds out; that nobody was shown these rows is not enough, since teachers hand on
    what they have learned: a student that has never seen them gets far more of them right than of
    others. The encoder member is cross-validated.
    """
    rows = np.zeros(len(session.labeled), dtype=bool)
    if member.kind == "encoder":
        clean = has_clean_teachers(session, lineup, member)
        rows[:] = clean and _held_out_path(session, member).exists()
    elif member.generation is None:
        rows[:] = True
    elif (held_out := lineup.held_out_for(member)) is not None:
        rows[lineup.held_out_rows[held_out]] = True
    return rows


def out_of_fold_path(session: Session, lineup: Lineup, member: Member) -> Path:
    """Where the scores of labeled rows lie that are out of fold for a member."""
    if member.kind == "encoder":
        return _held_out_path(session, member)
    if (held_out := lineup.held_out_for(member)) is not None:
        return _held_out_path(session, held_out)
    return folder_of(session.folder, member) / "logits" / "labeled.parquet"


def _held_out_path(session: Session, member: Member) -> Path:
    return folder_of(session.folder, member) / HELD_OUT_LOGITS


def is_trained_jointly(session: Session) -> bool:
    """Return whether patterns are asked of a model that has learned from the labeled rows."""
    if session.config.base != "joint":
        return False
    return bool(read_record(session.folder / "joint" / DONE)["kept"])


def retained_by(session: Session, member: Member) -> float | None:
    """Return how much of its teachers' knowledge a later encoder member retains, out of fold."""
    found: float | None = read_record(folder_of(session.folder, member) / DONE)["retained"]
    return found


def has_clean_teachers(session: Session, lineup: Lineup, member: Member) -> bool:
    """Return whether no teacher of an encoder member has learned from the labeled rows."""
    teachers = lineup.teachers[member] if member.generation else ()
    if teachers and (is_trained_jointly(session) or session.inputs.words_from_labeled):
        return False
    return all(own.kind == "pattern" and own.generation is None for own in teachers)


def out_of_fold_logits(
    session: Session, lineup: Lineup, members: Sequence[Member], weights: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.floating]] | None:
    """Combine members' logits of labeled rows, each row by those that have not learned from it.

    Only rows that every kind of member, patterns and each encoder, has predictions of are given:
    what a part of the ensemble predicts is no measure of the whole.

    Returns:
        rows, and their logits [rows, labels]; None where there are too few.
    """
    mask = np.stack([out_of_fold_rows(session, lineup, member) for member in members])
    kinds = [(member.kind, member.generation) for member in members]
    covered = [mask[[own == kind for own in kinds]].any(axis=0) for kind in dict.fromkeys(kinds)]
    rows = np.flatnonzero(np.all(covered, axis=0)).astype(np.int64)
    if len(rows) < ENOUGH:
        return None
    nothing = np.zeros((len(rows), len(session.task.labels)), np.float32)
    stack = [
        read_logits(out_of_fold_path(session, lineup, member))[1][rows] if own.any() else nothing
        for member, own in zip(members, mask, strict=True)
    ]
    return rows, session.outcome.combine(np.stack(stack), weights, mask[:, rows])


def zero_shot_logits(session: Session, members: Sequence[Member]) -> NDArray[np.float32] | None:
    """Read what untrained members predict of the labeled rows. [members, rows, labels]

    Returns:
        None where there are no labeled rows.
    """
    if not len(session.labeled):
        return None
    paths = [folder_of(session.folder, member) / "logits" / "labeled.parquet" for member in members]
    return np.stack([read_logits(path)[1] for path in paths])


def pool_logits(session: Session, members: Sequence[Member]) -> NDArray[np.float32]:
    """Read members' logits of all unlabeled rows. [members, rows, labels]"""
    shape = (len(members), len(unlabeled_rows(session)), len(session.task.labels))
    found = np.empty(shape, np.float32)  # there are rows for every label: no room for it twice
    end = 0
    for name in shard_names(session):
        ids, logits = stacked_logits(session, members, name)
        start, end = end, end + len(ids)
        found[:, start:end] = logits
    assert end == shape[1], "every unlabeled row is in one file"
    return found


def pool_votes(
    run: StoredRun, members: Sequence[Member], outcome: Outcome, scaling: Scaling
) -> Truth:
    """Read which labels each member by itself gives every unlabeled row. [members, rows, ...]"""
    return np.concatenate(
        [
            outcome.votes(stacked_logits(run, members, name)[1], scaling)
            for name in shard_names(run)
        ],
        axis=1,
    )


def embeddings_path(session: Session, file: str) -> Path:
    """Where the sentence encoder's vectors of a table or of some unlabeled rows are kept."""
    return session.folder / "embeddings" / file


def table_embeddings(session: Session, source: str) -> NDArray[np.float32]:
    """Read the embeddings of the labeled set or the test set. [rows, width]"""
    if (
        source not in session.inputs.measured()
    ):  # no labeled set: no rows, of the width that the pool has
        return pool_embeddings(session)[:0]
    return read_logits(embeddings_path(session, f"{source}.parquet"))[1]


def pool_embeddings(session: Session) -> NDArray[np.float32]:
    """Read the embeddings of all unlabeled rows. [rows, width]"""
    files = [embeddings_path(session, name) for name in shard_names(session)]
    return np.concatenate([read_logits(path)[1] for path in files])


def shard_names(run: StoredRun) -> list[str]:
    """The files into which the scores of the unlabeled rows are cut."""
    rows, size = len(unlabeled_rows(run)), run.config.shard_rows
    return [f"part-{shard:05d}.parquet" for shard in range(-(-rows // size))]


def stacked_logits(
    run: StoredRun, members: Sequence[Member], file: str
) -> tuple[list[str], NDArray[np.float32]]:
    """Stack every member's logits in one of its files: row ids, and [members, rows, labels].

    Raises:
        PetError: a member's file is missing, or its rows are others.
    """
    stack: list[NDArray[np.float32]] = []
    ids: list[str] | None = None
    for member in members:
        path = folder_of(run.folder, member) / "logits" / file
        if not path.exists():
            raise PetError(Problem(str(path), f"scores of member {member.name}", "none", RUN_AGAIN))
        own_ids, logits = read_logits(path)
        if ids is not None and own_ids != ids:
            found = f"others of member {member.name}"
            raise PetError(Problem(str(path), "the same rows of every member", found, RUN_AGAIN))
        ids = own_ids
        stack.append(logits)
    assert ids is not None, "an ensemble has a member"
    return ids, np.stack(stack)
