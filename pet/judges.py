"""Judges: who says how right members are, of labeled rows that it has not learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pet.inputs import Inputs
from pet.members import ENOUGH, Member, member_seed, members_of, trains_at_once


def judges_of(inputs: Inputs) -> list[Member]:
    """List the judges of generation 0: one beside each member that is trained there.

    Where a share of a label's rows is half a row or less, nothing is left out, nor judged.
    """
    trained = (m for m in members_of(inputs) if m.kind == "pattern" and m.generation == 0)
    return [judge_of(member) for member in trained if len(left_out(inputs, member))]


def later_judges(inputs: Inputs, generation: int) -> list[Member]:
    """List the judges of a later generation, one a line; none where too few rows are left for them.

    A line of judges goes through the generations beside the members. Each is taught by the one
    before it, and leaves out the same labeled rows: those of a judge of generation 0, or all of
    them where that was not trained. So nobody in it has heard of these rows, from a teacher either.
    """
    config = inputs.config
    if not (generation and config.out_of_bag and config.member.steps) or config.encoder is not None:
        return []
    if len({row for judge in judge_lines(inputs, 0) for row in left_out(inputs, judge)}) < ENOUGH:
        return []
    return judge_lines(inputs, generation)


def judge_lines(inputs: Inputs, generation: int) -> list[Member]:
    """Name the judges of a generation, one a line; the lines go from pattern to pattern."""
    config = inputs.config
    members = [
        Member(pattern.name, number, generation, "judge")
        for pattern in inputs.task.patterns
        for number in range(config.repetitions)
    ]
    lines = range(min(config.judges, len(members)))
    return [members[(line + generation) % len(members)] for line in lines]


def begins_line(inputs: Inputs, judge: Member) -> bool:
    """Say whether a judge of generation 0 may teach others."""
    return inputs.config.generations != 0 and judge in judge_lines(inputs, 0)


def ancestor(inputs: Inputs, judge: Member, generation: int) -> Member:
    """Return the judge of the same line in an earlier generation."""
    assert judge.generation is not None, "a judge was trained"
    line = judge_lines(inputs, judge.generation).index(judge)
    return judge_lines(inputs, generation)[line]


def judge_of(member: Member) -> Member:
    return replace(member, kind="judge")


def left_out(inputs: Inputs, member: Member) -> NDArray[np.int64]:
    """Draw the labeled rows, of every label, that the judge of a member does not learn from.

    Each judge has its own, so that together they speak of most (cross-fitting; out-of-bag
    estimates, Breiman 1996). The member itself learns from all: what it would lose by leaving
    rows out is more than their judgement is worth. [rows]
    """
    config, labels = inputs.config, inputs.labeled.labels
    if member.kind == "judge" and not trains_at_once(inputs):
        return np.arange(len(labels))
    if member.kind == "judge" and member.generation:
        member = ancestor(inputs, member, 0)
    rows: list[int] = []
    if member.kind != "encoder" and member.generation == 0:
        rng = np.random.default_rng(member_seed(inputs, "left out", member))
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            rows += rng.choice(own, round(config.out_of_bag * len(own)), replace=False).tolist()
    return np.sort(np.asarray(rows, dtype=np.int64))
