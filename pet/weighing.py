"""How much each member counts, and how sure they may be together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pet.answers import pool_logits
from pet.ensembling import (
    agreement_weights,
    combine,
    fit_share,
    fit_temperature,
    match_confidence,
    softmax,
)
from pet.evaluation import metrics
from pet.inputs import Inputs
from pet.logits import read_logits
from pet.members import (
    Member,
    folder_of,
    generation_before,
    judge_of,
    left_out,
    members_of,
    teachers_of,
)

Weighing = Literal["uniform", "accuracy", "agreement"]


def member_weights(
    inputs: Inputs, members: Sequence[Member], among: Sequence[Member] | None = None,
    weighing: Weighing | None = None,
) -> list[float]:  # fmt: skip
    """Weigh members alike, by accuracy before training (section 3.3), or by agreement on the pool.

    By accuracy, patterns and encoder are two voices, as loud as `voices` says: patterns of one
    model are wrong about the same texts, so their number says little.

    Args:
        among: the generation that they are of, where `members` are only some of it.
        weighing: another way than the configuration's.
    """
    weighing = weighing or inputs.config.weights
    if weighing == "agreement":
        everybody = list(among or members)
        weights = agreement_weights(pool_logits(inputs, everybody))
        return [weights[everybody.index(member)] for member in members]
    if weighing == "uniform" or len(inputs.labeled) < 2:  # one row has nothing to say of anyone
        return [1.0] * len(members)
    patterns = [member for member in members if member.kind == "pattern"]
    of_pattern = dict(zip(patterns, _pattern_weights(inputs, patterns), strict=True))
    if not patterns or len(patterns) == len(members):
        return [of_pattern.get(member, 1.0) for member in members]
    loud = voices(inputs)
    total = sum(of_pattern.values()) or 1.0
    return [
        loud.encoder if member.kind == "encoder" else loud.patterns * of_pattern[member] / total
        for member in members
    ]


def _pattern_weights(inputs: Inputs, members: Sequence[Member]) -> list[float]:
    return [zero_shot_accuracy(inputs, member.pattern) for member in members]


@dataclass(frozen=True)
class Voices:
    """What the patterns together, and the encoder member, are multiplied with."""

    patterns: float
    encoder: float


def voices(inputs: Inputs) -> Voices:
    """Weigh patterns against encoder, by labeled rows that neither has learned from.

    Each is first made as sure as it is right, then the encoder's share is fitted. Only generation
    0 can tell: to later encoder members, teachers have told these rows.
    """
    first = members_of(inputs, 0)
    patterns = [member for member in first if member.kind == "pattern"]
    encoder = [member for member in first if member.kind == "encoder"]
    if not encoder:
        return Voices(0.5, 0.5)
    said = unseen_answers(inputs, patterns, _pattern_weights(inputs, patterns))
    sensed = unseen_answers(inputs, encoder, [1.0])
    if said is None or sensed is None:
        return Voices(0.5, 0.5)
    rows, mine, theirs = np.intersect1d(said[0], sensed[0], return_indices=True)
    labels = inputs.labeled.labels[rows]
    temperature = _temperature(patterns, said[1], inputs.labeled.labels[said[0]])
    stack = np.stack([said[1][mine] / temperature, sensed[1][theirs]])
    share = fit_share(stack, labels)
    return Voices((1 - share) / temperature, share)


def zero_shot_accuracy(inputs: Inputs, pattern: str) -> float:
    """Accuracy on the labeled set before any training: the weight of section 3.3."""
    path = folder_of(inputs, Member(pattern, generation=None)) / "logits" / "labeled.parquet"
    return metrics(softmax(read_logits(path)[1]), inputs.labeled.labels)["accuracy"]


HELD_OUT = "held_out.parquet"  # what is said of labeled rows by who had not learned from them


def unseen_rows(inputs: Inputs, member: Member) -> NDArray[np.bool_]:
    """Say of which labeled rows somebody can speak for a member who has not learned from them.

    Untrained members have learned from none; for those of generation 0 their judges speak, of the
    rows that they left out; the encoder member is cross-validated. Later members have all of it,
    from their teachers. What has been learned shows even in a student that has never seen these
    rows: it gets far more of them right than of others. [rows]
    """
    rows = np.zeros(len(inputs.labeled), dtype=bool)
    if member.kind == "encoder":
        rows[:] = not _was_told(inputs, member) and answers_path(inputs, member).exists()
    elif member.generation is None:
        rows[:] = True
    else:
        rows[left_out(inputs, member)] = True
    return rows


def answers_path(inputs: Inputs, member: Member) -> Path:
    """Where scores of labeled rows lie that speak for a member: its own, or its judge's."""
    if member.kind == "encoder":
        return folder_of(inputs, member) / HELD_OUT
    if member.generation == 0 and inputs.config.out_of_bag:
        return folder_of(inputs, judge_of(member)) / HELD_OUT
    return folder_of(inputs, member) / "logits" / "labeled.parquet"


def _was_told(inputs: Inputs, member: Member) -> bool:
    """Say whether some teacher of an encoder member knows the labeled rows, and hands them on."""
    teachers = teachers_of(inputs, member) if member.generation else []
    return any(not (t.kind == "pattern" and t.generation is None) for t in teachers)


ENOUGH = 5  # labeled rows from which anything is concluded
# What members that learned from a few rows many times are expected to be too sure by. Chosen on
# validation rows, where 2.4 and 2.6 were best on topics, and 15 and 17 on films (50 labels).
OVERCONFIDENCE = 3.0


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


def ensemble_temperature(
    inputs: Inputs, members: Sequence[Member], weights: Sequence[float]
) -> float:
    """Return what to divide the members' combined logits by, so that they are as sure as right.

    It is fitted on labeled rows by members that have not learned from them. Fitted on rows that
    were learned from, it made every ensemble and every student overconfident. Later generations
    have no such rows: there it is 1, or the first generation's where only the encoder member has
    learned since; but they are never less sure of the pool than the first was. Members that are
    taught by soft labels of others would lose heart with every generation, while they become
    better. Without labels it is 1 too.
    """
    found = unseen_answers(inputs, members, weights)
    if found is not None:
        rows, logits = found
        return _temperature(members, logits, inputs.labeled.labels[rows])
    first = members_of(inputs, 0)
    of_first = member_weights(inputs, first)
    known = unseen_answers(inputs, first, of_first) is not None
    if list(members) == first or not (known or all(m.generation is None for m in first)):
        return 1.0
    at_first = ensemble_temperature(inputs, first, of_first)
    before = softmax(combine(pool_logits(inputs, first), of_first), at_first).max(axis=1).mean()
    same_patterns = all(m.kind == "encoder" or m.generation is None for m in members)
    usual = at_first if same_patterns else 1.0
    return min(usual, match_confidence(combine(pool_logits(inputs, members), weights), before))


def _temperature(
    members: Sequence[Member], logits: NDArray[np.floating], labels: NDArray[np.int64]
) -> float:
    trained = any(m.kind == "pattern" and m.generation is not None for m in members)
    return fit_temperature(logits, labels, expected=OVERCONFIDENCE if trained else 1.0)


def teachers_say(inputs: Inputs, member: Member) -> NDArray[np.floating]:
    """Return the probabilities that a member's teachers give to every unlabeled row. [rows, labels]

    Raises:
        PetError: scores are missing.
    """
    teachers, everybody = teachers_of(inputs, member), generation_before(inputs, member)
    weights = member_weights(inputs, teachers, among=everybody)
    temperature = ensemble_temperature(inputs, everybody, member_weights(inputs, everybody))
    return softmax(combine(pool_logits(inputs, teachers), weights), temperature)
