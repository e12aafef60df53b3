"""Predictors of new texts: a finished run's student, or its ensemble."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pet.data.pool import PoolBatch
from pet.ensemble.member_models import load_member, load_sentence_encoder, prior_digests
from pet.ensemble.members import Member, parse_member
from pet.ensemble.rules import rule_scores
from pet.errors import InputError, Problem
from pet.finished.finished_run import FinishedRun, refuse_changed
from pet.method.calibration import Scaling
from pet.method.linear_head import load_head
from pet.method.outcomes import Outcome
from pet.models.cloze_model import ClozeModel
from pet.models.model import Model
from pet.models.scoring import (
    Columns,
    Tokens,
    in_scoring_precision,
    refuse_not_finite,
    score_columns,
    score_in_turn,
    share_ticks,
    tokenize_columns,
)
from pet.models.sentence_encoder import encoder_digest
from pet.models.soft_prompt import SoftPrompt, stacked
from pet.models.teachers import Backbone
from pet.progress import Tick
from pet.storage.run_folders import recorded_inputs
from pet.storage.units import DONE
from pet.student.exits import EXITS, load_labeler, scores_and_layers
from pet.student.label_files import Predictions
from pet.student.scored_rows import ScoredRows
from pet.student.soft_labels import decided_outcome, read_scaling
from pet.student.student_folder import Student, load_student
from pet.tasks.encoding import Encoder

# Tokens of all members' rows together up to which one pass is the faster way: 1.9 times for one
# short text and nine members of BERT-tiny on a CPU core, no faster at eight texts, half as fast at
# 64. The arithmetic is the same; what is saved is the calls, and what is lost is the cache.
JOINT_TOKENS = 1024


class PromptEnsemble:
    """Members that differ by soft prompt and pattern only: few texts are scored in one pass."""

    def __init__(self, members: Sequence[tuple[ClozeModel, Encoder]], prompts: list[SoftPrompt]):
        model = members[0][0]
        self._model = model.with_adapter(stacked(model.module, prompts))
        self._encoders = [encoder for _, encoder in members]

    @classmethod
    def of(cls, members: Sequence[tuple[Model, Encoder]]) -> PromptEnsemble | None:
        """Join the members of an ensemble; None where they are not of that kind.

        They are where all are soft prompts of one length on one module, label words are of one
        token, and a text is read at once.
        """
        models = [(m, encoder) for m, encoder in members if isinstance(m, ClozeModel)]
        prompts = [m.adapter for m, _ in models if isinstance(m.adapter, SoftPrompt)]
        if not prompts or len(prompts) < len(members):
            return None
        alike = {(id(m.module), m.adapter and m.adapter.prompt_length) for m, _ in models}
        if len(alike) > 1 or any(not _reads_at_once(own) for _, own in models):
            return None
        return cls(models, prompts)

    def score(self, columns: Columns) -> NDArray[np.float32] | None:
        """Score all rows by all members; None for more than pays. [members, rows, labels]

        Raises:
            PetError: the model returns NaN.
        """
        rows = np.arange(len(next(iter(columns.values()))))
        if not len(rows) or len(rows) * len(self._encoders) > JOINT_TOKENS:
            return None
        texts: Tokens = {}
        for encoder in self._encoders:
            tokenize_columns(encoder, self._model.tokenizer, columns, texts)
        longest = max(int(encoder.lengths(texts, rows).max()) for encoder in self._encoders)
        if longest * len(rows) * len(self._encoders) > JOINT_TOKENS:
            return None
        self._model.module.eval()
        with torch.inference_mode(), in_scoring_precision(self._model):
            scores = self._model.outputs_of(self._encoders, texts, rows).cpu().numpy()
        refuse_not_finite(scores)
        return scores


def _reads_at_once(encoder: Encoder) -> bool:
    return encoder.by_logits and encoder.long_texts != "windows"


KEPT_BYTES = 2 << 30  # weights of an ensemble that stay in memory; larger ones are loaded again

Predict = Callable[[Columns, Tick], Predictions]


def student_of(run: FinishedRun, **changes: str) -> Student:
    """Load a run's student.

    Args:
        changes: settings unlike the run's own: the device, the precision.
    """
    config = run.config.model_copy(update=changes)
    return load_student(config, run.task, run.folder / "student", run.outcome.thresholds)


def student_predictor(run: FinishedRun, *, exits: bool = False) -> Predict:
    """Load the student; return the function that predicts by it.

    Args:
        exits: whether rows may leave by its early exits, if it has any.
    """
    if exits and run.config.student.exits:
        refuse_changed(run.folder / EXITS)
        student = load_labeler(run.config, run.task, run.folder)
    else:
        student = student_of(run)

    def predict(columns: Columns, tick: Tick) -> Predictions:
        scores, layers = scores_and_layers(student, columns, tick)
        probabilities = run.outcome.probabilities(scores)
        unknown, chosen = np.full(len(scores), np.nan), run.outcome.choose(probabilities)
        return Predictions(probabilities, unknown, "student", chosen, layers)

    return predict


def ensemble_predictor(run: FinishedRun) -> Predict:
    """Return the function that predicts by the last generation's members, loaded when needed."""
    members, weights, scaling = read_ensemble(run)
    rules = read_rules(run)
    outcome = outcome_by(run, "ensemble")
    for member in members:
        if member.generation is not None:
            refuse_changed(run.folder / "members" / member.name)
    if run.config.base is not None:
        refuse_changed(run.folder / run.config.base)
    backbone = Backbone.of(run.config, run.folder)
    _refuse_other_models(run, members, backbone)
    patterns = [member for member in members if member.kind != "encoder"]
    load = _loader(run, patterns, backbone)
    prompts = None
    if run.config.member.tuning == "soft-prompt" and patterns == members:
        prompts = PromptEnsemble.of([load(member) for member in members])
    heads = {
        member: load_head(run.folder / "members" / member.name)
        for member in members
        if member.kind == "encoder"
    }
    sentences = functools.cache(lambda: load_sentence_encoder(run.config, run.task))

    def by_model() -> Iterator[tuple[Any, list[Encoder]]]:
        """Load members one after another; untrained ones are one model with several patterns."""
        for untrained, own in itertools.groupby(patterns, lambda m: m.generation is None):
            if untrained:
                loaded = [load(member) for member in own]
                yield loaded[0][0], [encoder for _, encoder in loaded]
            else:
                for member in own:
                    model, encoder = load(member)
                    yield model, [encoder]

    def predict(columns: Columns, tick: Tick) -> Predictions:
        logits = None if prompts is None else prompts.score(columns)
        if logits is None:
            size, scores_of = run.config.tokens_per_batch, {}
            counted = share_ticks(tick, bool(patterns) + bool(heads))
            if patterns:
                found = score_in_turn(by_model(), len(patterns), columns, size, counted)
                scores_of = dict(zip(patterns, found, strict=True))
            if heads:
                vectors = score_columns(*sentences(), columns, size, counted)
                scores_of |= {member: head.logits(vectors) for member, head in heads.items()}
            logits = np.stack([scores_of[member] for member in members])
        else:
            tick(logits.shape[1])
        scores = scaling.of(outcome.combine(logits, weights))
        if rules:
            fires = [rule.fires(columns) for rule in run.task.rules]
            scores += rule_scores(run.task, np.stack(fires, axis=1), rules)
        probabilities = outcome.probabilities(scores)
        votes, chosen = outcome.votes(logits, scaling), outcome.choose(probabilities)
        return Predictions(probabilities, outcome.agreement(votes, chosen), "ensemble", chosen)

    return predict


def read_ensemble(run: FinishedRun) -> tuple[list[Member], list[float], Scaling]:
    """Read the ensemble's members, their weights, and the scaling of their scores.

    Raises:
        InputError: the record is gone, or names members that no run of this task has.
    """
    folder = run.folder / "soft_labels"
    record: Any = refuse_changed(folder)
    try:
        weights = {str(name): float(weight) for name, weight in record["weights"].items()}
        members = [parse_member(name) for name in weights]
        scaling = read_scaling(record, run.outcome, len(run.task.labels))
        known = {"", *(pattern.name for pattern in run.task.patterns)}
        if not members or any(member.pattern not in known for member in members):
            raise ValueError("members of other patterns")
    except (TypeError, ValueError, KeyError, AttributeError):
        raise InputError(
            Problem(
                str(folder),
                "the record of an ensemble",
                f"another {DONE}",
                "give the run's `pet run` command again",
            )
        ) from None
    priors = record.get("priors")  # those of runs of before are not named
    if priors is not None and priors != prior_digests(run.config, run.folder, members):
        raise InputError(
            Problem(
                str(run.folder / "members"),
                "the patterns' priors as they were measured",
                "another one",
                "give the run's `pet run` command again",
            )
        )
    return members, list(weights.values()), scaling


def read_rules(run: FinishedRun) -> list[float]:
    """Read what each of the task's rules adds to the ensemble's scores, in nats."""
    added = refuse_changed(run.folder / "soft_labels").get("rules", {})
    return [float(added[rule.name]) for rule in run.task.rules]


def _refuse_other_models(run: FinishedRun, members: Sequence[Member], backbone: Backbone) -> None:
    """Refuse another model under the name that untrained members or the encoder are loaded by.

    Raises:
        InputError: the model of that name is another one by now.
    """
    known = recorded_inputs(run.folder)
    config = run.config
    now = {}
    if any(m.generation is None for m in members) and config.base is None:
        now["model"] = config.model, backbone.digest
    if config.encoder is not None and any(m.kind == "encoder" for m in members):
        now["encoder"] = config.encoder, encoder_digest(config.encoder_ref)
    for name, (ref, digest) in now.items():
        if digest != known.get(name):
            raise InputError(
                Problem(
                    ref,
                    f"the {name} that the run was made with",
                    "another model of that name",
                    "put the old one back, or make the run anew with `pet run --update`",
                )
            )


def _loader(
    run: FinishedRun, members: Sequence[Member], backbone: Backbone
) -> Callable[[Member], tuple[Any, Encoder]]:
    """Return the function that loads a member: once only, where all of them fit in memory.

    Members that share the backbone, untrained ones and adapters, are kept in any case.
    """
    kept: dict[Member, tuple[Any, Encoder]] = {}

    def load(member: Member) -> tuple[Any, Encoder]:
        if member in kept:
            return kept[member]
        model, encoder = load_member(run.config, run.task, run.folder, member, backbone)
        weights = sum(p.numel() * p.element_size() for p in model.module.parameters())
        if backbone.holds(model) or len(members) * weights <= KEPT_BYTES:
            kept[member] = model, encoder
        return model, encoder

    return load


def scored_rows(run: FinishedRun) -> ScoredRows:
    """Open what a run's models have predicted of the pool rows that its members scored.

    Raises:
        InputError: which rows these are, or what was predicted of them, was changed.
    """
    members, _, _ = read_ensemble(run)
    refuse_changed(run.folder / "unlabeled")
    return ScoredRows(run, members)


def ensemble_of_own_pool(run: FinishedRun) -> Callable[[PoolBatch, Tick], Predictions]:
    """Return the function that predicts the run's own pool by its ensemble.

    The rows that the members scored are read back; their models are loaded for others alone.
    """
    scored = scored_rows(run)
    predict = functools.cache(lambda: ensemble_predictor(run))

    def others(columns: Columns, tick: Tick) -> Predictions:
        return predict()(columns, tick)

    return lambda batch, tick: scored.predict("ensemble", batch, others, tick)


def outcome_by(run: FinishedRun, who: str) -> Outcome:
    """Return what a text's labels can be, with the thresholds of student or ensemble."""
    return run.outcome if who == "student" else decided_outcome(run)


def predictor_of(run: FinishedRun, who: str, *, exits: bool = False) -> Predict:
    """Return the function that predicts by the student or the ensemble.

    Args:
        exits: whether rows may leave by the student's early exits, if it has any.
    """
    refuse_unknown_model(who)
    return student_predictor(run, exits=exits) if who == "student" else ensemble_predictor(run)


def refuse_unknown_model(who: str) -> None:
    """Refuse what is neither student nor ensemble.

    Raises:
        InputError: it is neither.
    """
    if who not in ("student", "ensemble"):
        raise InputError(
            Problem("--with", "student or ensemble", repr(who), "leave it out for the student")
        )
