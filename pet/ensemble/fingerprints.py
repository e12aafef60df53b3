"""What members are made from, as fingerprints: a member is made again when its own changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pet.config import RunConfig, TrainingConfig, WholeTrainingConfig
from pet.ensemble.lineup import MOST_LIKELY, Lineup, first_rows
from pet.ensemble.members import Member, member_seed, weighing_of
from pet.inputs.inputs import computation
from pet.inputs.pool_sample import texts_fingerprint, unlabeled_fingerprint
from pet.inputs.session import Session
from pet.inputs.warm_start import may_start_from_another_model, start_digest
from pet.models.sentence_encoder import encoder_length
from pet.models.soft_prompt import PROJECTOR_RATE, PROJECTOR_WIDTH
from pet.models.training import training_shape
from pet.storage.units import fingerprint
from pet.tasks.rules import rules_shape

# What later encoder members record; those of former runs do not, and are made again.
OF_LATER_ENCODERS = {"retained": "of the pool, out of fold"}

LM_ROWS = 3  # unlabeled rows per labeled row of the auxiliary loss: Table 5 of the paper


def adaptation_training(config: RunConfig) -> TrainingConfig:
    """How the teacher is adapted."""
    return TrainingConfig(steps=config.adapt_steps, batch_size=32, dropout=0.0)


def joint_training(config: RunConfig) -> WholeTrainingConfig:
    """How the teacher is trained under all patterns: by LoRA, which is merged."""
    return WholeTrainingConfig(steps=config.joint.steps, batch_size=8, dropout=0.0, tuning="lora")


def base_digest(session: Session) -> str:
    """Name the model that members start from by what it was made of."""
    if session.config.base != "joint":
        return adapted_digest(session)
    return fingerprint(
        unit="joint",
        model=adapted_digest(session),
        labeled=session.digests["labeled"],
        **({"shares": session.task.shares} if session.task.several else {}),
        **_under_all_patterns(session, joint_training(session.config), "joint"),
    )


def adapted_digest(session: Session) -> str:
    """Name the teacher, or what was made of it by training on the pool."""
    if not session.config.adapt_steps:
        return session.digests["model"]
    return fingerprint(
        unit="adapted",
        model=session.digests["model"],
        pool=unlabeled_fingerprint(session),
        **_under_all_patterns(session, adaptation_training(session.config), "adaptation"),
    )


def _under_all_patterns(session: Session, training: TrainingConfig, name: str) -> dict[str, Any]:
    patterns = session.task.patterns
    return {
        "training": training_shape(session.config, training),
        "patterns": [pattern.template for pattern in patterns],
        "words": [session.task.words_in_order(pattern.name) for pattern in patterns],
        "seed": session.seed(name),
        **computation(session.config),
    }


def with_fingerprints(session: Session, lineup: Lineup) -> Lineup:
    """Return the lineup with every member's fingerprint; the pool's sample has to be there."""
    known = {member: untrained_fingerprint(session, member) for member in lineup.untrained}
    for members, held_out in zip(lineup.generations, lineup.held_out, strict=True):
        made = [m for m in (*members, *held_out) if m not in known]
        known |= {member: _fingerprint(session, lineup, member, known) for member in made}
    return replace(lineup, fingerprints=known)


def untrained_fingerprint(session: Session, member: Member) -> str:
    """Name an untrained member by what its scores depend on."""
    assert member.generation is None, "a trained member depends on who taught it"
    return fingerprint(unit="member", **_pattern_shape(session, member))


def _fingerprint(
    session: Session, lineup: Lineup, member: Member, known: Mapping[Member, str]
) -> str:
    """Name a member by all that shapes it, and by nothing else.

    In generation 0 the other patterns are not among that; later they are, as teachers.
    """
    config = session.config
    is_encoder = member.kind == "encoder"
    shape = _encoder_shape(session) if is_encoder else _pattern_shape(session, member)
    if member.kind == "held-out":
        shape["left out"] = lineup.held_out_rows[member].tolist()
        if lineup.is_kept(member):
            shape["teaches"] = True
    shape["labeled"] = session.digests["labeled"]
    shape["seed"] = member_seed(config, "member", member)
    if member.generation:
        if is_encoder:
            shape |= OF_LATER_ENCODERS
        teachers = lineup.teachers[member]
        # The temperature of teachers depends on their whole generation, and on the first.
        sources = dict.fromkeys([*lineup.before(member), *lineup.first, *teachers])
        shape |= {
            "teachers": [teacher.name for teacher in teachers],
            "heard": [known[other] for other in sources],
            "pool": unlabeled_fingerprint(session),
            "drawn": [
                config.growth_factor,
                config.drawn_labels,
                *([] if len(session.labeled) else [MOST_LIKELY, first_rows(config, session.task)]),
            ],
            "judged": [
                config.out_of_bag,
                *(lineup.held_out_rows[own].tolist() for own in lineup.held_out[0]),
            ],
            "weights": config.weights,
        }
        if weighing_of(config, session.task) == "task":
            shape["weights"] = dict(session.task.weights)
        if session.task.prior:
            shape["shares"] = session.task.shares
        if session.task.rules:
            shape["rules"] = [rules_shape(session.task.rules), "as far as members confirm them"]
        if is_encoder:
            shape["chosen"] = "by generation 0, a row"  # penalty and temperature
    return fingerprint(unit="member", **shape)


def _pattern_shape(session: Session, member: Member) -> dict[str, Any]:
    config, task = session.config, session.task
    shape: dict[str, Any] = {
        "pattern": task.pattern(member.pattern).template,
        "words": task.words_in_order(member.pattern),
        "model": base_digest(session),
        "calibration": config.calibration,
        **computation(config),
    }
    if session.inputs.words_from_labeled:
        shape["own words"] = task.own_words[member.pattern]
        shape["words from"] = [task.words_from, session.seed("label words")]
    if config.prior_of_pool:
        shape["prior"] = [texts_fingerprint(session), session.seed("prior")]
    if task.prior and config.calibration != "none":
        shape["shares"] = task.shares
    if member.generation is not None:
        if config.lm_weight:
            shape["pool"] = unlabeled_fingerprint(session)
        training = training_shape(config, config.member)
        shape |= {"training": training, "lm_weight": config.lm_weight}
        if config.init_from is not None:
            shape["start"] = start_digest(config, task, member.pattern, member.repetition)
            if may_start_from_another_model(config):
                constants = {"width": PROJECTOR_WIDTH, "learning_rate": PROJECTOR_RATE}
                shape["projector"] = config.projector.model_dump() | constants
    return shape


def _encoder_shape(session: Session) -> dict[str, Any]:
    task = session.task
    shape = {"encoder": session.digests["encoder"], "fields": task.fields, "labels": task.labels}
    return {**shape, **computation(session.config, encoder_length(session.config))}
