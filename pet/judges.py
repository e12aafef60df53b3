"""Judges: models that leave labeled rows out, to say how right the members are that learn them."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.ensembling import folds_of
from pet.inputs import Inputs
from pet.members import ENOUGH, Member, generations_of, members_of, trains_at_once

LINES_AFTER_UNTRAINED = 2  # each of them leaves out every labeled row


def judge_for(inputs: Inputs, member: Member) -> Member | None:
    """Return the judge that speaks for a member, if there is one."""
    if member.generation is None:
        return None
    judges = later_judges(inputs, member.generation) if member.generation else first_judges(inputs)
    judge = replace(member, kind="judge")
    return judge if judge in judges else None


def first_judges(inputs: Inputs) -> list[Member]:
    """List the judges of generation 0: one beside each member that is trained there.

    Where a share of a label's rows is half a row or less, nothing is left out, nor judged.
    """
    trained = (m for m in members_of(inputs) if m.kind == "pattern" and m.generation == 0)
    judges = [replace(member, kind="judge") for member in trained]
    return [judge for judge in judges if len(left_out(inputs, judge))]


def later_judges(inputs: Inputs, generation: int) -> list[Member]:
    """List the judges of a later generation, one a line; none where they would tell too little.

    A line of judges goes through the generations beside the members. Each is taught by the one
    before it, and leaves out the same labeled rows: those of a judge of generation 0, or all of
    them where that was not trained. Nobody in it has learned from these rows, or from somebody who
    has. What it knows of them is how many each label has, and how sure teachers may be.
    """
    config = inputs.config
    if not (generation and config.out_of_bag and config.member.steps):
        return []
    if config.encoder is not None:  # it would need judges, too: a part of an ensemble says nothing
        return []
    if len({row for judge in _in_line(inputs, 0) for row in left_out(inputs, judge)}) < ENOUGH:
        return []
    return _in_line(inputs, generation)


def _in_line(inputs: Inputs, generation: int) -> list[Member]:
    """Name each line's judge of a generation; a line goes from pattern to pattern."""
    config = inputs.config
    judges = [
        Member(pattern.name, number, generation, "judge")
        for number in range(config.repetitions)
        for pattern in inputs.task.patterns
    ]
    starts = list(range(len(judges)))[:LINES_AFTER_UNTRAINED]
    if trains_at_once(inputs):  # a line a fold: more would speak of the same rows again
        _, first = np.unique([_fold(inputs, judge) for judge in judges], return_index=True)
        # A line that leaves nothing out is taught every row, and would find its members right.
        asked = {place: replace(judges[place], generation=0) for place in np.sort(first).tolist()}
        starts = [place for place, judge in asked.items() if len(left_out(inputs, judge))]
    return [judges[(start + generation) % len(judges)] for start in starts[: config.judge_lines]]


def teaching_judges(inputs: Inputs, generation: int) -> list[Member]:
    """List the judges of a generation that may teach the next: they are kept to be asked again.

    Where generation 0 was not trained, untrained members teach the first ones of a line.
    """
    wanted = generations_of(inputs, sys.maxsize)  # whatever the pool will allow
    if generation >= wanted or not later_judges(inputs, generation + 1):
        return []
    if not generation and not trains_at_once(inputs):
        return []
    return _in_line(inputs, generation)


def ancestor(inputs: Inputs, judge: Member, generation: int) -> Member:
    """Return the judge of the same line in an earlier generation."""
    assert judge.generation is not None, "a judge was trained"
    line = _in_line(inputs, judge.generation).index(judge)
    return _in_line(inputs, generation)[line]


def left_out(inputs: Inputs, judge: Member) -> NDArray[np.int64]:
    """Return the labeled rows that a judge does not learn from. [rows]

    They are dealt into folds, each label evenly, and each pattern's judge leaves a fold out, so
    that a few judges speak of as many rows as there can be (cross-fitting). Members learn from all:
    what they would lose by leaving rows out is more than their judgement is worth.
    """
    config, labels = inputs.config, inputs.labeled.labels
    if not trains_at_once(inputs):
        return np.arange(len(labels))
    if not config.out_of_bag:
        return np.zeros(0, dtype=np.int64)
    dealt = np.full(len(labels), -1)
    share = np.bincount(labels)[labels] / _folds(config)
    several = share > 0.5  # a label's only row is needed to learn it
    rng = np.random.default_rng(inputs.seed("left out"))
    dealt[several] = folds_of(labels[several], _folds(config), rng)
    first = ancestor(inputs, judge, 0) if judge.generation else judge
    return np.flatnonzero(dealt == _fold(inputs, first))


def _fold(inputs: Inputs, judge: Member) -> int:
    """Return the fold that a judge of generation 0 leaves out: the next pattern's is the next."""
    place = [pattern.name for pattern in inputs.task.patterns].index(judge.pattern)
    return (place + judge.repetition) % _folds(inputs.config)


def _folds(config: RunConfig) -> int:
    return round(1 / config.out_of_bag)
