"""The lineup of a run that a test asks about, by what lies in its folder."""

from __future__ import annotations

from pet.ensemble.fingerprints import with_fingerprints
from pet.ensemble.lineup import Lineup, plan_members
from pet.ensemble.members import Member, folder_of, untrained_members
from pet.ensemble.predictions import zero_shot_logits
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.session import Session

LARGE = 10**6  # rows of a pool that was not sampled yet


def planned(session: Session) -> Lineup:
    """Plan a run's members, with its zero-shot scores and its sample if they are there."""
    untrained = untrained_members(session.task)
    scored = all(
        (folder_of(session.folder, m) / "logits" / "labeled.parquet").exists() for m in untrained
    )
    zero_shot = zero_shot_logits(session, untrained) if scored else None
    sampled = (session.folder / "unlabeled").exists()
    rows = int(unlabeled_rows(session).trainable.sum()) if sampled else LARGE
    return plan_members(session.config, session.task, session.labeled, zero_shot, rows)


def named(session: Session) -> Lineup:
    """Plan a run's members, with their fingerprints."""
    return with_fingerprints(session, planned(session))


def fingerprints(session: Session) -> dict[str, str]:
    """Return the fingerprints of the members of generation 0, by name."""
    lineup = named(session)
    return {member.name: lineup.fingerprints[member] for member in lineup.first}


def held_out_of(session: Session, generation: int) -> tuple[Member, ...]:
    """Return the held-out members of a generation; none of one that there is not."""
    return dict(enumerate(planned(session).held_out)).get(generation, ())
