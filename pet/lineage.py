"""Who taught a member, and all else that it is made from: its name."""

from __future__ import annotations

from typing import Any

import numpy as np

from pet.adaptation import base_digest
from pet.inheritance import start_digest, takes_others
from pet.inputs import Inputs, computation
from pet.ipet import choose_teachers
from pet.judges import ancestor, first_judges, left_out, teaching_judges
from pet.members import Member, encoder_length, first_rows, member_seed, members_of
from pet.runs import fingerprint
from pet.sampling import texts_fingerprint, unlabeled_fingerprint


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
    if member.kind == "judge" and candidates[0].generation is not None:
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
                *([] if len(inputs.labeled) else [config.most_likely, first_rows(inputs)]),
            ],
            "judged": [
                config.out_of_bag,
                *(left_out(inputs, j).tolist() for j in first_judges(inputs)),
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
        shape |= {"training": config.shape_of(config.member), "lm_weight": config.lm_weight}
        if config.init_from is not None:
            shape["start"] = start_digest(config, task, member.pattern, member.repetition)
            if takes_others(config):
                shape["projector"] = config.projector.model_dump()
        if member.kind == "judge":
            shape["left out"] = left_out(inputs, member).tolist()
            if member in teaching_judges(inputs, member.generation):  # its model is kept
                shape["teaches"] = True
    return shape


def _encoder_shape(inputs: Inputs) -> dict[str, Any]:
    task = inputs.task
    shape = {"encoder": inputs.digests["encoder"], "fields": task.fields, "labels": task.labels}
    return {**shape, **computation(inputs.config, encoder_length(inputs.config))}
