"""How much each member counts, and how sure they may be together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pet.answers import pool_logits
from pet.ensembling import agreement_weights, combine, fit_temperature, match_confidence, softmax
from pet.evaluation import metrics
from pet.inputs import Inputs
from pet.logits import read_logits
from pet.members import Member, folder_of, members_of, teachers_of
from pet.runs import DONE, read_json

Weighing = Literal["uniform", "accuracy", "agreement"]


def member_weights(
    inputs: Inputs, members: Sequence[Member], among: Sequence[Member] | None = None,
    weighing: Weighing | None = None,
) -> list[float]:  # fmt: skip
    """Weigh members alike, by accuracy before training (section 3.3), or by agreement on the pool.

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
    return [own_accuracy(inputs, member) for member in members]


def own_accuracy(inputs: Inputs, member: Member) -> float:
    """Accuracy on labeled rows that was not learned: before training, or by cross-validation.

    The encoder member's is of generation 0: later ones have teachers that know these rows.
    """
    if member.kind == "pattern":
        return zero_shot_accuracy(inputs, member.pattern)
    first = folder_of(inputs, replace(member, generation=0))
    return float((read_json(first / DONE) or {})["cross_validated_accuracy"])


def zero_shot_accuracy(inputs: Inputs, pattern: str) -> float:
    """Accuracy on the labeled set before any training: the weight of section 3.3."""
    path = folder_of(inputs, Member(pattern, generation=None)) / "logits" / "labeled.parquet"
    return metrics(softmax(read_logits(path)[1]), inputs.labeled.labels)["accuracy"]


HELD_OUT = "held_out.parquet"  # what an encoder member says of labeled rows it had not seen


def unseen_logits(inputs: Inputs, members: Sequence[Member]) -> NDArray[np.float32] | None:
    """What members say of the labeled rows, each of rows that it has not learned from.

    Untrained members have learned from none; the encoder member is cross-validated. Members that
    were trained on the labeled set have nothing to say here: what they learned shows even in a
    student that has never seen these rows, which gets far more of them right than of others.

    Returns:
        [members, rows, labels], or None where a member, or the labeled set, cannot give it.
    """
    stack = []
    for member in members:
        path = folder_of(inputs, member) / HELD_OUT
        if member.kind == "pattern":
            path = folder_of(inputs, member) / "logits" / "labeled.parquet"
        if not len(inputs.labeled) or not path.exists() or _has_learned(inputs, member):
            return None
        stack.append(read_logits(path)[1])
    return np.stack(stack)


def _has_learned(inputs: Inputs, member: Member) -> bool:
    """Say whether what a member says of labeled rows comes from these rows, through others too."""
    if member.kind == "pattern":
        return member.generation is not None
    teachers = teachers_of(inputs, member) if member.generation else []
    return any(_has_learned(inputs, teacher) for teacher in teachers)


def ensemble_temperature(
    inputs: Inputs, members: Sequence[Member], weights: Sequence[float]
) -> float:
    """Return what to divide the members' combined logits by, so that they are as sure as right.

    Where nobody has learned from the labeled rows it is fitted on them. Where somebody has, they
    say too much: fitted on them, every ensemble and every student was overconfident. Then it is 1,
    as it is without labels; but a generation that grew from untrained members is never less sure
    of the pool than those were. Members that are taught by soft labels of others would lose heart
    with every generation, while they become better.
    """
    logits = unseen_logits(inputs, members)
    if logits is not None:
        return fit_temperature(combine(logits, weights), inputs.labeled.labels)
    first = members_of(inputs, 0)
    if list(members) == first or any(_has_learned(inputs, member) for member in first):
        return 1.0
    of_first = member_weights(inputs, first)
    at_first = ensemble_temperature(inputs, first, of_first)
    before = softmax(combine(pool_logits(inputs, first), of_first), at_first).max(axis=1).mean()
    return min(1.0, match_confidence(combine(pool_logits(inputs, members), weights), before))
