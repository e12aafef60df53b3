"""Who taught a member, and all else that it is made from: its name."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import RunConfig, WholeTrainingConfig
from pet.ensemble.members import (
    ENOUGH,
    MOST_LIKELY,
    Member,
    encoder_length,
    first_rows,
    generations_of,
    member_seed,
    members_of,
    trains_at_once,
)
from pet.inputs.inputs import Inputs, computation
from pet.inputs.pool_sample import texts_fingerprint, unlabeled_fingerprint
from pet.inputs.warm_start import start_digest, takes_others
from pet.method.ensembling import folds_of
from pet.method.ipet import choose_teachers
from pet.models.soft_prompt import PROJECTOR_RATE, PROJECTOR_WIDTH
from pet.models.training import training_shape
from pet.storage.units import fingerprint


def adaptation_training(config: RunConfig) -> WholeTrainingConfig:
    """How the teacher is adapted: as the settings say, for as many steps as are asked for."""
    return WholeTrainingConfig(**config.adaptation.model_dump(), steps=config.adapt_steps)


def base_digest(inputs: Inputs) -> str:
    """Name the model that members start from by what it was made of."""
    if not inputs.config.adapt_steps:
        return inputs.digests["model"]
    config = inputs.config
    return fingerprint(
        unit="adapted",
        model=inputs.digests["model"],
        pool=unlabeled_fingerprint(inputs),
        training=training_shape(config, adaptation_training(config)),
        patterns=[pattern.template for pattern in inputs.task.patterns],
        words=[inputs.task.words_in_order(pattern.name) for pattern in inputs.task.patterns],
        seed=inputs.seed("adaptation"),
        **computation(config),
    )


HELD_OUT_LINES = 4  # at most: of 1 / out_of_bag folds, by default 4, one a line

LINES_AFTER_UNTRAINED = 2  # each of them leaves out every labeled row


def held_out_for(inputs: Inputs, member: Member) -> Member | None:
    """Return the judge that speaks for a member, if there is one."""
    if member.generation is None:
        return None
    held_out_members = (
        later_held_out_members(inputs, member.generation)
        if member.generation
        else first_held_out_members(inputs)
    )
    held_out = replace(member, kind="held-out")
    return held_out if held_out in held_out_members else None


def first_held_out_members(inputs: Inputs) -> list[Member]:
    """List the judges of generation 0: one beside each member that is trained there.

    Where a share of a label's rows is half a row or less, nothing is left out, nor judged.
    """
    trained = (m for m in members_of(inputs) if m.kind == "pattern" and m.generation == 0)
    held_out_members = [replace(member, kind="held-out") for member in trained]
    return [held_out for held_out in held_out_members if len(held_out_rows(inputs, held_out))]


def later_held_out_members(inputs: Inputs, generation: int) -> list[Member]:
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
    if (
        len({row for held_out in _in_line(inputs, 0) for row in held_out_rows(inputs, held_out)})
        < ENOUGH
    ):
        return []
    return _in_line(inputs, generation)


def _in_line(inputs: Inputs, generation: int) -> list[Member]:
    """Name each line's judge of a generation; a line goes from pattern to pattern."""
    config = inputs.config
    held_out_members = [
        Member(pattern.name, number, generation, "held-out")
        for number in range(config.repetitions)
        for pattern in inputs.task.patterns
    ]
    starts = list(range(len(held_out_members)))[:LINES_AFTER_UNTRAINED]
    if trains_at_once(inputs):  # a line a fold: more would speak of the same rows again
        _, first = np.unique(
            [_fold(inputs, held_out) for held_out in held_out_members], return_index=True
        )
        # A line that leaves nothing out is taught every row, and would find its members right.
        asked = {
            place: replace(held_out_members[place], generation=0)
            for place in np.sort(first).tolist()
        }
        starts = [
            place for place, held_out in asked.items() if len(held_out_rows(inputs, held_out))
        ]
    return [
        held_out_members[(start + generation) % len(held_out_members)]
        for start in starts[:HELD_OUT_LINES]
    ]


def teaching_held_out_members(inputs: Inputs, generation: int) -> list[Member]:
    """List the judges of a generation that may teach the next: they are kept to be asked again.

    Where generation 0 was not trained, untrained members teach the first ones of a line.
    """
    wanted = generations_of(inputs, sys.maxsize)  # whatever the pool will allow
    if generation >= wanted or not later_held_out_members(inputs, generation + 1):
        return []
    if not generation and not trains_at_once(inputs):
        return []
    return _in_line(inputs, generation)


def ancestor(inputs: Inputs, held_out: Member, generation: int) -> Member:
    """Return the judge of the same line in an earlier generation."""
    assert held_out.generation is not None, "a judge was trained"
    line = _in_line(inputs, held_out.generation).index(held_out)
    return _in_line(inputs, generation)[line]


def held_out_rows(inputs: Inputs, held_out: Member) -> NDArray[np.int64]:
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
    first = ancestor(inputs, held_out, 0) if held_out.generation else held_out
    return np.flatnonzero(dealt == _fold(inputs, first))


def _fold(inputs: Inputs, held_out: Member) -> int:
    """Return the fold that a judge of generation 0 leaves out: the next pattern's is the next."""
    place = [pattern.name for pattern in inputs.task.patterns].index(held_out.pattern)
    return (place + held_out.repetition) % _folds(inputs.config)


def _folds(config: RunConfig) -> int:
    return round(1 / config.out_of_bag)


def generation_before(inputs: Inputs, member: Member) -> list[Member]:
    """The members from among which a member's teachers are chosen."""
    assert member.generation, "generation 0 has no teachers"
    return members_of(inputs, member.generation - 1)


def teachers_of(inputs: Inputs, member: Member) -> list[Member]:
    """Choose, by the member's own seed, who of the generation before teaches it.

    The encoder member listens to them all, its own former self too: the patterns that it is not
    like are few, and may be weaker than it is. A judge listens to the one before it in its line.
    """
    candidates = generation_before(inputs, member)
    if member.kind == "held-out" and candidates[0].generation is not None:
        return [ancestor(inputs, member, candidates[0].generation)]
    if member.kind == "encoder":
        return candidates
    own = [place for place, other in enumerate(candidates) if other.pattern == member.pattern]
    place = own[min(member.repetition, len(own) - 1)] if own else None
    rng = np.random.default_rng(member_seed(inputs, "teachers", member))
    chosen = choose_teachers(place, len(candidates), rng, inputs.config.teacher_share)
    return [candidates[index] for index in chosen]


def member_fingerprint(inputs: Inputs, member: Member) -> str:
    """Name a member by all that shapes it, and by nothing else.

    In generation 0 the other patterns are not among that; later they are, as teachers.
    """
    if member not in inputs.names:  # without a memory every teacher's teachers are asked again
        inputs.names[member] = _fingerprint(inputs, member)
    return inputs.names[member]


def _fingerprint(inputs: Inputs, member: Member) -> str:
    config = inputs.config
    shape = _encoder_shape(inputs) if member.kind == "encoder" else _pattern_shape(inputs, member)
    if member.generation is not None:
        shape["labeled"] = inputs.digests["labeled"]
        shape["seed"] = member_seed(inputs, "member", member)
    if member.generation:
        teachers = teachers_of(inputs, member)
        # How sure teachers may be depends on their whole generation, and on the first.
        before = [*generation_before(inputs, member), *members_of(inputs, 0)]
        heard = dict.fromkeys([*before, *teachers])  # a judge's teacher is none of them
        shape |= {
            "teachers": [teacher.name for teacher in teachers],
            "heard": [member_fingerprint(inputs, other) for other in heard],
            "pool": unlabeled_fingerprint(inputs),
            "drawn": [
                config.growth_factor,
                config.drawn_labels,
                *([] if len(inputs.labeled) else [MOST_LIKELY, first_rows(inputs)]),
            ],
            "judged": [
                config.out_of_bag,
                *(held_out_rows(inputs, j).tolist() for j in first_held_out_members(inputs)),
            ],
            "weights": config.weights,
        }
    return fingerprint(unit="member", **shape)


def _pattern_shape(inputs: Inputs, member: Member) -> dict[str, Any]:
    config, task = inputs.config, inputs.task
    shape: dict[str, Any] = {
        "pattern": task.pattern(member.pattern).template,
        "words": task.words_in_order(member.pattern),
        "model": base_digest(inputs),
        "calibration": config.calibration,
        **computation(config),
    }
    if config.prior_of_pool:
        shape["prior"] = [texts_fingerprint(inputs), inputs.seed("prior")]
    if member.generation is not None:
        if config.lm_weight:
            shape["pool"] = unlabeled_fingerprint(inputs)
        training = training_shape(config, config.member)
        shape |= {"training": training, "lm_weight": config.lm_weight}
        if config.init_from is not None:
            shape["start"] = start_digest(config, task, member.pattern, member.repetition)
            if takes_others(config):
                constants = {"width": PROJECTOR_WIDTH, "learning_rate": PROJECTOR_RATE}
                shape["projector"] = config.projector.model_dump() | constants
        if member.kind == "held-out":
            shape["left out"] = held_out_rows(inputs, member).tolist()
            if member in teaching_held_out_members(inputs, member.generation):  # its model is kept
                shape["teaches"] = True
    return shape


def _encoder_shape(inputs: Inputs) -> dict[str, Any]:
    task = inputs.task
    shape = {"encoder": inputs.digests["encoder"], "fields": task.fields, "labels": task.labels}
    return {**shape, **computation(inputs.config, encoder_length(inputs.config))}
