"""Who can be asked about new texts: a finished run's student, or its ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pet.backbones import Backbone
from pet.calibration import Scaling
from pet.encoding import Encoder
from pet.ensembling import agreement, combine, softmax
from pet.errors import InputError, Problem
from pet.finished import FinishedRun, refuse_changed, student_of
from pet.inputs import recorded_inputs
from pet.labeling import Predictions
from pet.member_models import load_member
from pet.members import Member, parse_member
from pet.progress import Tick
from pet.prompt_ensembles import PromptEnsemble
from pet.runs import DONE
from pet.scoring import Columns, ask_in_turn
from pet.sentence_encoders import encoder_digest

KEPT_BYTES = 2 << 30  # weights of an ensemble that stay in memory; larger ones are loaded again

Voice = Callable[[Columns, Tick], Predictions]


def student_voice(run: FinishedRun) -> Voice:
    """Load the student; return the function that asks it."""
    student = student_of(run)

    def say(columns: Columns, tick: Tick) -> Predictions:
        probabilities = softmax(student.logits(columns, tick))
        return Predictions(probabilities, np.full(len(probabilities), np.nan))

    return say


def ensemble_voice(run: FinishedRun) -> Voice:
    """Return the function that asks the last generation's members, loaded as they are needed."""
    members, weights, scaling = _ensemble_of(run)
    for member in members:
        if member.generation is not None:
            refuse_changed(run.folder / "members" / member.name)
    backbone = Backbone.of(run.config, run.folder)
    _refuse_other_models(run, members, backbone)
    load = _loader(run, members, backbone)
    prompts = None
    if run.config.member.tuning == "soft-prompt":
        prompts = PromptEnsemble.of([load(member) for member in members])

    def say(columns: Columns, tick: Tick) -> Predictions:
        voices = (load(member) for member in members)
        logits = None if prompts is None else prompts.score(columns)
        if logits is None:
            logits = ask_in_turn(voices, len(members), columns, run.config.tokens_per_batch, tick)
        else:
            tick(logits.shape[1])
        probabilities = scaling.probabilities(combine(logits, weights))
        best = probabilities.argmax(axis=-1)
        return Predictions(probabilities, agreement(logits.argmax(axis=-1), best))

    return say


def _ensemble_of(run: FinishedRun) -> tuple[list[Member], list[float], Scaling]:
    """Read who is in the ensemble, with what weights, and how their scores are scaled.

    Raises:
        InputError: the record is gone, or names members that no run of this task has.
    """
    folder = run.folder / "soft_labels"
    record: Any = refuse_changed(folder)
    try:
        weights = {str(name): float(weight) for name, weight in record["weights"].items()}
        members = [parse_member(name) for name in weights]
        none = [0.0] * len(run.task.labels)  # as in runs of earlier versions
        offsets = [float(offset) for offset in record.get("ensemble_offsets", none)]
        scaling = Scaling(float(record["ensemble_temperature"]), tuple(offsets))
        if len(offsets) != len(none):
            raise ValueError("offsets of other labels")
        known = {"", *(pattern.name for pattern in run.task.patterns)}
        if not members or any(member.pattern not in known for member in members):
            raise ValueError("members of other patterns")
    except (TypeError, ValueError, KeyError, AttributeError):
        raise InputError(
            Problem(str(folder), "the record of an ensemble", f"another {DONE}",
                    "give the run's `pet run` command again")
        ) from None  # fmt: skip
    return members, list(weights.values()), scaling


def _refuse_other_models(run: FinishedRun, members: Sequence[Member], backbone: Backbone) -> None:
    """Untrained members and the encoder are loaded from where they came from: is it still they?

    Raises:
        InputError: the model of that name is another one by now.
    """
    known = recorded_inputs(run.folder)
    config = run.config
    now = {}
    if any(m.generation is None for m in members) and not config.adapt_steps:
        now["model"] = config.model, backbone.digest
    if config.encoder is not None and any(m.kind == "encoder" for m in members):
        now["encoder"] = config.encoder, encoder_digest(config.encoder, config.encoder_revision)
    for name, (ref, digest) in now.items():
        if digest != known.get(name):
            raise InputError(
                Problem(ref, f"the {name} that the run was made with", "another model of that name",
                        "put the old one back, or make the run anew with `pet run --update`")
            )  # fmt: skip


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


def voice_of(run: FinishedRun, who: str) -> Voice:
    """Return the function that asks the student or the ensemble."""
    if who not in ("student", "ensemble"):
        raise InputError(
            Problem("--with", "student or ensemble", repr(who), "leave it out for the student")
        )
    return student_voice(run) if who == "student" else ensemble_voice(run)
