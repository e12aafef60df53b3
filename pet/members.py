"""Members: who they are, what they are made from, and where what they said is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.adaptation import base_digest
from pet.config import RunConfig
from pet.encoding import Encoder
from pet.ensembling import calibration_offset, softmax
from pet.errors import PetError
from pet.evaluation import metrics
from pet.inputs import Inputs
from pet.ipet import choose_teachers
from pet.loading import choose_device
from pet.logits import read_logits
from pet.models import ClozeModel
from pet.runs import fingerprint
from pet.sampling import unlabeled_fingerprint, unlabeled_rows
from pet.scoring import cloze_encoder
from pet.tasks import Task


@dataclass(frozen=True, order=True)
class Member:
    """One model: pattern x repetition x generation. Generation None is not trained at all."""

    pattern: str
    repetition: int = 0
    generation: int | None = 0

    @property
    def name(self) -> str:
        if self.generation is None:
            return f"untrained-{self.pattern}"
        return f"g{self.generation}-{self.pattern}-r{self.repetition}"


def members_of(inputs: Inputs, generation: int | None = 0) -> list[Member]:
    """List a generation's members, in the order of the task file."""
    repetitions = range(inputs.config.repetitions) if generation is not None else [0]
    return [
        Member(pattern.name, repetition, generation)
        for pattern in inputs.task.patterns
        for repetition in repetitions
    ]


def first_generation(inputs: Inputs) -> list[Member]:
    """The members before any growing: untrained ones where there is no labeled row."""
    return members_of(inputs, 0 if len(inputs.labeled) else None)


def teachers_of(inputs: Inputs, member: Member) -> list[Member]:
    """Choose, by the member's own seed, who of the generation before teaches it."""
    assert member.generation is not None
    before = member.generation - 1
    candidates = members_of(inputs, before) if before > 0 else first_generation(inputs)
    own = [place for place, other in enumerate(candidates) if other.pattern == member.pattern]
    place = own[min(member.repetition, len(own) - 1)]
    rng = np.random.default_rng(member_seed(inputs, "teachers", member))
    chosen = choose_teachers(place, len(candidates), rng, inputs.config.teacher_share)
    return [candidates[index] for index in chosen]


def member_seed(inputs: Inputs, use: str, member: Member) -> int:
    return inputs.seed(use, member.generation, member.pattern, member.repetition)


def folder_of(inputs: Inputs, member: Member) -> Path:
    return inputs.folder / "members" / member.name


def member_fingerprint(inputs: Inputs, member: Member) -> str:
    """Name a member by all that shapes it, and by nothing else.

    In generation 0 the other patterns are not among that; later they are, as teachers.
    """
    config, task = inputs.config, inputs.task
    shape: dict[str, Any] = {
        "pattern": task.pattern(member.pattern).template,
        "words": [[label, *words] for label, words in task.verbalizer(member.pattern).items()],
        "model": base_digest(inputs),
        "max_length": config.max_length,
        "calibration": config.calibration,
        "device": str(choose_device(config.device)),
        "tokens_per_batch": config.tokens_per_batch,
    }
    if config.calibration == "pool" or config.lm_weight:
        shape["pool"] = unlabeled_fingerprint(inputs)
    if member.generation is not None:
        shape |= {
            "labeled": inputs.digests["labeled"],
            "training": config.member.model_dump(),
            "lm_weight": config.lm_weight,
            "seed": member_seed(inputs, "member", member),
        }
    if member.generation:
        shape |= {
            "teachers": [member_fingerprint(inputs, t) for t in teachers_of(inputs, member)],
            "pool": unlabeled_fingerprint(inputs),
            "drawn": [config.growth_factor, config.drawn_labels, config.most_likely],
            "weights": config.weights,
        }
    return fingerprint(unit="member", **shape)


def load_member(
    config: RunConfig, task: Task, run: Path, member: Member, calibrated: bool = True
) -> tuple[ClozeModel, Encoder]:
    """Load a trained member of a run, or the pretrained model for an untrained one."""
    device = choose_device(config.device)
    if member.generation is not None:
        model = ClozeModel.load(str(run / "members" / member.name), None, device)
    elif config.adapt_steps:
        model = ClozeModel.load(str(run / "adapted"), None, device)
    else:
        model = ClozeModel.load(config.model, config.model_revision, device)
    offset = prior_offset(config, run, member.pattern) if calibrated else None
    return model, cloze_encoder(model, task, member.pattern, config.max_length, offset)


def prior_path(run: Path, pattern: str) -> Path:
    return run / "members" / Member(pattern, generation=None).name / "logits" / "prior.parquet"


def prior_offset(config: RunConfig, run: Path, pattern: str) -> NDArray[np.float32] | None:
    """What is added to label scores so that none is likelier before a text is read. [labels]"""
    if config.calibration == "none":
        return None
    return calibration_offset(read_logits(prior_path(run, pattern))[1]).astype(np.float32)


def member_weights(inputs: Inputs, members: Sequence[Member]) -> list[float]:
    """Weigh members alike, or by what their pattern reached before any training (section 3.3)."""
    if inputs.config.weights == "uniform" or not len(inputs.labeled):
        return [1.0] * len(members)
    of_pattern = {m.pattern: zero_shot_accuracy(inputs, m.pattern) for m in members}
    return [of_pattern[member.pattern] for member in members]


def zero_shot_accuracy(inputs: Inputs, pattern: str) -> float:
    """Accuracy on the labeled set before any training: the weight of section 3.3."""
    path = folder_of(inputs, Member(pattern, generation=None)) / "logits" / "labeled.parquet"
    return metrics(softmax(read_logits(path)[1]), inputs.labeled.labels)["accuracy"]


def pool_logits(inputs: Inputs, members: Sequence[Member]) -> NDArray[np.float32]:
    """Read what members say of all unlabeled rows. [members, rows, labels]"""
    return np.concatenate(
        [stacked_logits(inputs, members, name)[1] for name in shard_names(inputs)], axis=1
    )


def shard_names(inputs: Inputs) -> list[str]:
    """The files into which the scores of the unlabeled rows are cut."""
    rows, size = len(unlabeled_rows(inputs)), inputs.config.shard_rows
    return [f"part-{shard:05d}.parquet" for shard in range(-(-rows // size))]


def stacked_logits(
    inputs: Inputs, members: Sequence[Member], file: str
) -> tuple[list[str], NDArray[np.float32]]:
    """Stack what every member said in one of its files: row ids, and [members, rows, labels].

    Raises:
        PetError: a member's file is missing, or its rows are others.
    """
    stack: list[NDArray[np.float32]] = []
    ids: list[str] | None = None
    for member in members:
        path = folder_of(inputs, member) / "logits" / file
        if not path.exists():
            raise PetError(f"{path}: the scores of member {member.name} are missing; run again")
        own_ids, logits = read_logits(path)
        if ids is not None and own_ids != ids:
            raise PetError(f"{path}: the rows of member {member.name} are others; run again")
        ids = own_ids
        stack.append(logits)
    assert ids is not None, "an ensemble has a member"
    return ids, np.stack(stack)
