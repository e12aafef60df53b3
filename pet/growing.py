"""How generations stand, and whether the last of them did harm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pet.answers import pool_logits
from pet.inputs import Inputs
from pet.ipet import KEPT, Growth, harm, knowledge_kept, measure_growth
from pet.members import Member, folder_of, trains_at_once
from pet.runs import DONE, read_record
from pet.sampling import unlabeled_rows
from pet.weighing import teachers_say, together


@dataclass(frozen=True)
class Generation:
    """Members that were trained together, and how they stand."""

    members: list[Member]
    growth: Growth


def generation_of(inputs: Inputs, members: list[Member]) -> Generation:
    """Measure a generation on the unlabeled rows."""
    logits = pool_logits(inputs, members)
    return Generation(members, measure_growth(logits, together(inputs, members, logits)))


def harm_of(inputs: Inputs, generations: Sequence[Generation]) -> str:
    """Say what harm the last of some generations did; nothing if it did none."""
    before, now = generations[-2:]
    count = len(inputs.task.labels)
    labels = inputs.labeled.labels if len(inputs.labeled) else np.arange(count)
    ratio = np.bincount(labels, minlength=count) / len(labels)
    untrained = len(generations) == 2 and not trains_at_once(inputs)
    found = harm(before.growth, now.growth, ratio.tolist(), untrained_before=untrained)
    return found or _not_taken_up(inputs, now.members)


def _not_taken_up(inputs: Inputs, members: Sequence[Member]) -> str:
    """Say what an encoder member that learned alone did not take up from its teachers.

    Films' opinions, for one, do not show in embeddings that were made to tell subjects: there such
    a member makes the ensemble worse with every generation. Patterns that learn too would carry it.
    """
    learners = [member for member in members if member.generation]
    if [member.kind for member in learners] != ["encoder"]:
        return ""
    (encoder,) = learners
    drawn = read_record(folder_of(inputs, encoder) / DONE)["drawn"]["rows"]
    new = ~np.isin(unlabeled_rows(inputs).ids, drawn)
    if not new.any():
        return ""
    own = pool_logits(inputs, [encoder])[0].argmax(axis=1)
    kept = knowledge_kept(teachers_say(inputs, encoder)[new], own[new])
    if kept >= KEPT:
        return ""
    return (
        f"the encoder says {kept:.0%} of what its teachers know of rows that it has not learned "
        f"from; {KEPT:.0%} are wanted"
    )
