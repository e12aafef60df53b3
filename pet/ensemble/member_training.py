"""How a member is trained: on labeled rows, and on pool rows that its teachers label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pet.config import RunConfig, TrainingConfig
from pet.ensemble.chosen_words import encoder_of, words_of
from pet.ensemble.divergence import divergence_reported
from pet.ensemble.fingerprints import LM_ROWS
from pet.ensemble.lineup import MOST_LIKELY, Lineup, quotas_of
from pet.ensemble.logits import logits_table
from pet.ensemble.members import Member, folder_of, member_seed
from pet.ensemble.predictions import (
    HELD_OUT_LOGITS,
    has_clean_teachers,
    pool_embeddings,
    table_embeddings,
)
from pet.ensemble.weights import teacher_probabilities
from pet.errors import PetError, Problem
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.session import Session
from pet.inputs.warm_start import start_of
from pet.method.linear_head import Chosen, Fitted
from pet.models.adapter import read_backbone, save_adapter
from pet.models.adapter_kinds import load_adapter, start_adapter
from pet.models.cloze_model import ClozeModel
from pet.models.model import Loss
from pet.models.scoring import cloze_encoder, score_columns, tokenize_columns
from pet.models.soft_prompt import PROJECTOR_RATE, PROJECTOR_WIDTH, SoftPrompt, nearest_words
from pet.models.training import label_loss, train
from pet.storage.files import read_record, write_parquet
from pet.storage.units import DONE, Unit, make_unit
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task


def train_member(session: Session, lineup: Lineup, member: Member) -> Unit:
    """Train a member from the pretrained model on its rows, and keep it."""
    build = _fit if member.kind == "encoder" else _train
    return make_unit(
        folder_of(session.folder, member),
        lineup.fingerprints[member],
        lambda folder: build(session, lineup, member, folder),
    )


def _fit(session: Session, lineup: Lineup, member: Member, folder: Path) -> dict[str, Any]:
    """Fit the encoder member's linear head: seconds, since the embeddings are there."""
    drawn, pool = draw(session, lineup, member), pool_embeddings(session)
    fitted = session.outcome.fit_encoder(
        table_embeddings(session, "labeled"),
        session.labeled.labels,
        pool[drawn.rows],
        drawn.targets,
        np.random.default_rng(member_seed(session.config, "folds", member)),
        _chosen_before(session, lineup, member),
    )
    fitted.head.save(folder)
    accuracy = None
    if fitted.held_out is not None:
        scores = logits_table(session.labeled.ids, fitted.held_out)
        write_parquet(folder / HELD_OUT_LOGITS, scores, {})
        accuracy = _accuracy(session, fitted.held_out)
    return {
        "penalty": fitted.penalty,
        "trust": fitted.trust,
        "calibration_temperature": fitted.temperature,
        "cross_validated_accuracy": accuracy,
        "retained": _retained(session, drawn, fitted, pool),
        **drawn.record,
    }


def _retained(
    session: Session, drawn: Drawn, fitted: Fitted, pool: NDArray[np.float32]
) -> float | None:
    """Return how much of its teachers' knowledge of the pool an encoder member retains.

    Drawn rows are scored out of fold. They are those of which teachers are surest, so that they
    alone do not show how much is retained of the others: of films .58 to .82 where it was .56 to
    .69 of the others, of posts and news .61 to .94 and .69 to .96 (10 and 50 labels, 14 cells).

    Args:
        pool: embeddings of all unlabeled rows. [rows, width]
    """
    if fitted.of_drawn is None:
        return None
    scores = fitted.head.logits(pool)
    scores[drawn.rows] = fitted.of_drawn
    rows = np.flatnonzero(unlabeled_rows(session).trainable)
    return session.outcome.retention(drawn.taught[rows], scores[rows])


def _accuracy(session: Session, held_out: NDArray[np.floating]) -> float:
    """Return the share of the labeled rows whose labels are right, all of them."""
    chosen = session.outcome.choose(session.outcome.of_member(held_out))
    right = chosen == session.labeled.labels
    return float((right.all(axis=1) if session.outcome.several else right).mean())


def _chosen_before(session: Session, lineup: Lineup, member: Member) -> Chosen | None:
    """Return what generation 0 has chosen for an encoder member, if teachers know the labels.

    Chosen anew, among rows whose labels teachers have handed on, penalty and temperature made
    later generations overconfident and less accurate.
    """
    first = next((own for own in lineup.first if own.kind == "encoder"), None)
    if first is None or has_clean_teachers(session, lineup, member):
        return None
    record = read_record(folder_of(session.folder, first) / DONE)
    rows = len(session.labeled)
    return Chosen(record["penalty"], record["calibration_temperature"], rows)


def _train(session: Session, lineup: Lineup, member: Member, folder: Path) -> dict[str, Any]:
    config = session.config
    model = _start(session, member, words_of(session, lineup, member).task)
    encoder = encoder_of(session, lineup, model, member)
    drawn = draw(session, lineup, member)
    columns, targets = training_rows(session, lineup, member, drawn)
    texts = tokenize_columns(encoder, model.tokenizer, columns)
    loss = _weighted(label_loss(session.outcome, targets, model.device), config.lm_weight)
    losses, phases = {}, _phases(config, model)
    steps = sum(phase.steps for phase in phases.values())
    with session.observer.stage(f"training {member.name}", steps, "steps") as tick:
        for name, settings in phases.items():
            with divergence_reported(session, member.name, name):
                losses[name] = train(
                    model,
                    encoder,
                    texts,
                    np.arange(len(targets)),
                    loss,
                    settings,
                    warmup=config.warmup,
                    seed=member_seed(session.config, name, member),
                    tick=tick,
                    tokens_per_batch=config.tokens_per_batch,
                    auxiliary=_auxiliary(session, model, encoder, member),
                )
            if isinstance(model.adapter, SoftPrompt):
                model.adapter.fold_projector()
    if member.kind == "held-out":
        known = session.labeled
        logits = score_columns(model, encoder, known.columns, config.tokens_per_batch)
        write_parquet(folder / HELD_OUT_LOGITS, logits_table(known.ids, logits), {})
    if lineup.is_kept(member):
        if model.adapter is None:
            model.save(folder)
        else:
            save_adapter(model.adapter, folder, session.backbone.reference)
    if model.adapter is not None:
        session.backbone.take_off(model.adapter)
    record: dict[str, Any] = {"losses": _rounded(losses["member"]), **drawn.record}
    if "projector" in losses:
        record["projector_losses"] = _rounded(losses["projector"])
    if isinstance(model.adapter, SoftPrompt):
        record["nearest_words"] = nearest_words(model.adapter, model.module, model.tokenizer)
    return record


def _rounded(losses: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in losses]


def _phases(config: RunConfig, model: ClozeModel) -> dict[str, TrainingConfig]:
    """Return the phases of training, in order: first the projector, where there is one."""
    if not isinstance(model.adapter, SoftPrompt) or model.adapter.projector is None:
        return {"member": config.member}
    changes = {"steps": config.projector.steps, "learning_rate": PROJECTOR_RATE}
    return {"projector": config.member.model_copy(update=changes), "member": config.member}


def _start(session: Session, member: Member, task: Task) -> ClozeModel:
    """Return the pretrained model with what a member trains of it: all weights, or an adapter.

    Args:
        task: with the member's label words, from which some adapters start.
    """
    config, backbone = session.config, session.backbone
    if config.member.tuning == "full":
        backbone.drop()  # a model whose weights change is nobody else's
        return backbone.load()
    start = start_of(config, session.task, member.pattern, member.repetition)
    encoder = cloze_encoder(config, task, backbone.model, member.pattern)
    seed = member_seed(session.config, "adapter", member)
    if start is not None and read_backbone(start).get("digest") != backbone.digest:
        before, module = len(encoder.special.before), backbone.model.module
        return backbone.model.with_adapter(
            SoftPrompt.projected(module, start, before, PROJECTOR_WIDTH, seed)
        )
    if start is not None:
        return backbone.model.with_adapter(load_adapter(backbone.model.module, start))
    return backbone.model.with_adapter(start_adapter(backbone.model, config, encoder, seed))


def _weighted(loss: Loss, lm_weight: float) -> Loss:
    """L = (1 - a) L_CE + a L_MLM: the first half (section 3.2)."""
    return lambda scores, rows: (1 - lm_weight) * loss(scores, rows)


def _auxiliary(
    session: Session, model: ClozeModel, encoder: Encoder, member: Member
) -> Callable[[int], Tensor] | None:
    """The auxiliary language-model loss on filled pool texts; None where it is not asked for."""
    weight = session.config.lm_weight
    if not weight:
        return None
    unlabeled = unlabeled_rows(session)
    known = session.tokens.setdefault("all unlabeled rows", {})
    texts = tokenize_columns(encoder, model.tokenizer, unlabeled.columns, known)
    trainable = np.flatnonzero(unlabeled.trainable)
    rng = np.random.default_rng(member_seed(session.config, "auxiliary", member))

    def loss(rows: int) -> Tensor:
        drawn = rng.choice(trainable, min(LM_ROWS * rows, len(trainable)), replace=False)
        return weight * rows * model.language_model_loss(encoder, texts, drawn)

    return loss


@dataclass(frozen=True)
class Drawn:
    """Unlabeled rows that a member learns from beside the labeled set.

    Attributes:
        rows: places among the unlabeled rows. [drawn]
        targets: its teachers' probabilities. [drawn, labels]
        record: who taught, and what was drawn.
        taught: its teachers' probabilities of all unlabeled rows; empty in generation 0.
            [unlabeled, labels]
    """

    rows: NDArray[np.int64]
    targets: NDArray[np.float32]
    record: dict[str, Any]
    taught: NDArray[np.floating]


def draw(session: Session, lineup: Lineup, member: Member) -> Drawn:
    """Draw the rows that a member's teachers label for it; none in generation 0 (section 3.4)."""
    task, labeled = session.task, session.labeled
    if not member.generation:
        nothing = np.zeros((0, len(task.labels)), np.float32)
        return Drawn(np.zeros(0, np.int64), nothing, {}, nothing)
    taught = teacher_probabilities(session, lineup, member)
    first = not len(labeled) and member.generation == 1
    quotas = quotas_of(session.config, task, labeled, member.generation)
    drawn = session.outcome.draw(
        taught,
        quotas,
        labeled.labels,
        np.random.default_rng(member_seed(session.config, "draw", member)),
        trainable=unlabeled_rows(session).trainable,
        most_likely=MOST_LIKELY if first else None,
    )
    if not len(drawn.rows):
        raise PetError(
            Problem(
                member.name,
                "rows that its teachers label",
                "none",
                "give a larger pool, or fewer generations",
            )
        )
    kinds = [*task.labels, "none of them"]
    wanted, room = int(quotas.sum()), int(unlabeled_rows(session).trainable.sum())
    if drawn.missing.any() and wanted > room:
        session.observer.note(
            f"{member.name} learns from {len(drawn.rows):,} rows: it might from {wanted:,}, but "
            f"members were asked about {room:,} rows that may be learned from"
        )
    elif drawn.missing.any():
        few = [f"{kinds[i]} ({n})" for i, n in enumerate(drawn.missing) if n]
        session.observer.note(
            f"{member.name} learns from fewer rows than it might; there are too few for these "
            f"labels, and how many are missing: {', '.join(few)}"
        )
    hard = session.outcome.drawn_targets(taught, drawn)
    soft = taught[drawn.rows].astype(np.float32)
    ids = unlabeled_rows(session).ids
    record = {
        "teachers": [teacher.name for teacher in lineup.teachers[member]],
        "drawn": {
            "rows": [ids[row] for row in drawn.rows],
            "labels": [kinds[label] for label in drawn.labels],
        },
        "missing": drawn.missing.tolist(),
    }
    targets = hard if session.config.drawn_labels == "hard" else soft
    return Drawn(drawn.rows, targets, record, taught)


def training_rows(
    session: Session, lineup: Lineup, member: Member, drawn: Drawn
) -> tuple[dict[str, list[str]], NDArray[np.float32]]:
    """Put the labeled rows and what was drawn together: texts by field, targets [rows, labels]."""
    labeled, unlabeled = session.labeled, unlabeled_rows(session)
    own = np.arange(len(labeled))
    if member.kind == "held-out":
        own = np.setdiff1d(own, lineup.held_out_rows[member])
    columns = {
        name: [labeled.columns[name][row] for row in own]
        + [unlabeled.columns[name][row] for row in drawn.rows]
        for name in session.task.fields
    }
    gold = session.outcome.targets(labeled.labels[own], len(session.task.labels))
    return columns, np.concatenate([gold, drawn.targets])
