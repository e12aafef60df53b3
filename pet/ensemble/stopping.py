"""How generations compare, and whether the last one is worse than the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from pet.ensemble.lineup import Lineup
from pet.ensemble.members import Member, folder_of
from pet.ensemble.predictions import pool_logits, retained_by
from pet.ensemble.weights import ensemble_scores, is_encoder_behind, teacher_probabilities
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.session import Session
from pet.method.ipet import (
    KEPT,
    KEPT_WITHOUT_LABELS,
    Growth,
    degradation,
)
from pet.storage.files import read_record
from pet.storage.units import DONE


@dataclass(frozen=True)
class Generation:
    """Members that were trained together, with their agreement and label shares."""

    members: Sequence[Member]
    growth: Growth


def generation_of(session: Session, lineup: Lineup, members: Sequence[Member]) -> Generation:
    """Measure a generation on the unlabeled rows."""
    logits = pool_logits(session, members)
    scores, scaling = ensemble_scores(session, lineup, members, logits)
    return Generation(members, session.outcome.growth(logits, scores, scaling))


def degradation_of(session: Session, lineup: Lineup, generations: Sequence[Generation]) -> str:
    """Return why the last generation is worse than the one before; empty if it is not."""
    before, now = generations[-2:]
    count = len(session.task.labels)
    if len(session.labeled):
        ratio = session.outcome.counts(session.labeled.labels, count) / len(session.labeled)
    elif session.task.several and session.task.shares is not None:
        ratio = np.asarray(session.task.shares)
    else:
        ratio = np.full(count, 1) / count
    untrained = len(generations) == 2 and not lineup.trains_at_once
    found = degradation(before.growth, now.growth, ratio.tolist(), untrained_before=untrained)
    return found or _not_taken_up(session, lineup, now.members)


def _not_taken_up(session: Session, lineup: Lineup, members: Sequence[Member]) -> str:
    """Return why too little was learned from teachers, by members that had no other source.

    Films' opinions, for one, do not show in embeddings that were made for subjects: there an
    encoder makes the ensemble worse with every generation. Patterns that learn too would carry it,
    if labeled rows carry them: without any, they spread what is wrong as well as what is right.
    """
    learners = [member for member in members if member.generation]
    alone = {member.kind for member in learners} == {"encoder"}
    if lineup.adds_encoder(members) and is_encoder_behind(session, lineup):
        return (
            "patterns predict labeled rows better than the encoder does, out of fold, so that it "
            "cannot hand on what they know"
        )
    if not alone and len(session.labeled):
        return ""
    wanted = KEPT if alone else KEPT_WITHOUT_LABELS
    measure = retained_by if alone else partial(_taken_up, lineup=lineup)
    measured = [measure(session, member) for member in learners]
    shares = [share for share in measured if share is not None]
    if not shares or (kept := float(np.mean(shares))) >= wanted:
        return ""
    who = "the encoder predicts" if alone else "without labeled rows, a member predicts"
    return (
        f"{who} {kept:.0%} of what its teachers predict of rows that it has not learned from; "
        f"{wanted:.0%} are wanted"
    )


def _taken_up(session: Session, member: Member, lineup: Lineup) -> float | None:
    """The share of its teachers' knowledge that a member retains on rows that it did not draw."""
    drawn = read_record(folder_of(session.folder, member) / DONE)["drawn"]["rows"]
    new = ~np.isin(unlabeled_rows(session).ids, drawn)
    if not new.any():
        return None
    own = pool_logits(session, [member])[0]
    taught = teacher_probabilities(session, lineup, member)
    return session.outcome.retention(taught[new], own[new])
