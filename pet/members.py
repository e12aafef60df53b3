"""Members: who they are, what they are made from, and where what they said is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pet.adaptation import base_digest
from pet.config import MOST_GENERATIONS, RunConfig
from pet.ensembling import combine
from pet.evaluation import beats_commonest
from pet.inheritance import start_digest, takes_others
from pet.inputs import Inputs, computation
from pet.ipet import choose_teachers, count_generations, generation_quotas
from pet.loading import longest_input
from pet.logits import read_logits
from pet.runs import fingerprint
from pet.sampling import texts_fingerprint, unlabeled_fingerprint

FIRST_ROWS_PER_LABEL = 10  # of the first generation without labels
ENOUGH = 5  # labeled rows from which anything is concluded


@dataclass(frozen=True)
class Member:
    """One voice of an ensemble: a pattern's model, or a linear classifier on sentence embeddings.

    Attributes:
        pattern: the pattern's name; the encoder member has none.
        repetition: number among the members that differ by their seed only.
        generation: None for a model that is not trained at all.
        kind: a judge is no voice: it is a pattern's model that did not learn from some labeled
            rows, so that it can say how right such models are.
    """

    pattern: str
    repetition: int = 0
    generation: int | None = 0
    kind: Literal["pattern", "encoder", "judge"] = "pattern"

    @property
    def name(self) -> str:
        if self.kind == "encoder":
            return f"encoder-g{self.generation}"
        if self.kind == "judge":
            return f"judge-{self.pattern}-r{self.repetition}"
        if self.generation is None:
            return f"untrained-{self.pattern}"
        return f"g{self.generation}-{self.pattern}-r{self.repetition}"


def untrained_members(inputs: Inputs) -> list[Member]:
    """The pretrained model under every pattern, as it is."""
    return [Member(pattern.name, generation=None) for pattern in inputs.task.patterns]


def members_of(inputs: Inputs, generation: int = 0) -> list[Member]:
    """List a generation's members: in the order of the task file, then the encoder member.

    Members of patterns that are not trained yet, or never (`member.steps` is 0), are the same
    untrained ones. The encoder member begins with the first generation that has labels.
    """
    config = inputs.config
    members = untrained_members(inputs)
    if config.member.steps and (generation or trains_at_once(inputs)):
        repetitions = range(config.repetitions)
        patterns = inputs.task.patterns
        members = [Member(p.name, number, generation) for p in patterns for number in repetitions]
    if config.encoder is not None and (generation or len(inputs.labeled)):
        members.append(Member("", 0, generation, "encoder"))
    return members


def trains_at_once(inputs: Inputs) -> bool:
    """Say whether generation 0 is trained on the labeled set, or asked as it is.

    A handful of rows teaches a small model less about the task than it makes it forget: such a
    run starts with untrained members, and learns from the labeled rows beside the drawn ones.
    But not where they know next to nothing of these labels. On Reuters R8, of which half is one
    label, BERT-tiny's patterns were right about 8 of 50 labeled rows; untrained they led to an
    ensemble of .79, trained at once to one of .87.
    """
    return not has_few_labels(inputs) or not _patterns_know_labels(inputs)


def has_few_labels(inputs: Inputs) -> bool:
    """Say whether the labeled rows are fewer than `train_from` for every label, or all alike."""
    train_from, rows = inputs.config.train_from, len(inputs.labeled)
    if not rows or not train_from:
        return not rows
    return rows < train_from * len(inputs.task.labels) or are_alike(inputs.labeled.labels)


def know_labels(truth: NDArray[np.int64], said: NDArray[np.int64]) -> bool:
    """Say whether as many rows are right as the commonest label would be.

    Of a few rows, and of rows of one label alone, which the commonest label is right about, nothing
    is concluded.
    """
    return len(truth) < ENOUGH or are_alike(truth) or beats_commonest(truth, said)


def are_alike(labels: NDArray[np.int64]) -> bool:
    """Say whether all rows have one label: they tell it from no other."""
    return len(np.unique(labels)) < 2


def _patterns_know_labels(inputs: Inputs) -> bool:
    """Hold what untrained patterns said against the labeled rows; True until they were asked."""
    untrained = [folder_of(inputs, member) for member in untrained_members(inputs)]
    paths = [folder / "logits" / "labeled.parquet" for folder in untrained]
    if not all(path.exists() for path in paths):
        return True
    logits = np.stack([read_logits(path)[1] for path in paths])
    labels = inputs.labeled.labels
    if logits.shape[1] != len(labels):  # of another labeled set: they will be asked again
        return True
    return know_labels(labels, combine(logits, [1.0] * len(logits)).argmax(axis=1))


def generations_of(inputs: Inputs, rows: int) -> int:
    """How many generations follow the first: none after one that has the whole pool.

    Args:
        rows: how many unlabeled rows there are to learn from.
    """
    config = inputs.config
    if not config.member.steps and config.encoder is None:
        return 0  # nobody would learn anything
    if config.generations == "paper":
        of_paper = count_generations(
            len(inputs.labeled), config.growth_factor, config.growth_goal, _first_rows(inputs)
        )
        wanted = min(of_paper, MOST_GENERATIONS)
    else:
        wanted = config.generations
    sizes = [quotas_of(inputs, generation).sum() for generation in range(1, wanted)]
    return min(wanted, 1 + sum(int(size) < rows for size in sizes))


def quotas_of(inputs: Inputs, generation: int) -> NDArray[np.int64]:
    """How many rows of each label the members of a generation after the first draw. [labels]"""
    counts = np.bincount(inputs.labeled.labels, minlength=len(inputs.task.labels)).tolist()
    factor = inputs.config.growth_factor
    return generation_quotas(counts, generation, factor, _first_rows(inputs))


def _first_rows(inputs: Inputs) -> int:
    return inputs.config.first_rows or FIRST_ROWS_PER_LABEL * len(inputs.task.labels)


def parse_member(name: str) -> Member:
    """Return the member of a name. `Member.name` the other way round."""
    head, _, rest = name.partition("-")
    if head == "encoder":
        return Member("", 0, int(rest[1:]), "encoder")
    if head == "untrained":
        return Member(rest, generation=None)
    pattern, _, repetition = rest.rpartition("-")
    return Member(pattern, int(repetition[1:]), int(head[1:]))


def generation_before(inputs: Inputs, member: Member) -> list[Member]:
    """The members from among which a member's teachers are chosen."""
    assert member.generation, "generation 0 has no teachers"
    return members_of(inputs, member.generation - 1)


def teachers_of(inputs: Inputs, member: Member) -> list[Member]:
    """Choose, by the member's own seed, who of the generation before teaches it.

    The encoder member listens to them all, its own former self too: the patterns that it is not
    like are few, and may be weaker than it is.
    """
    candidates = generation_before(inputs, member)
    if member.kind == "encoder":
        return candidates
    own = [place for place, other in enumerate(candidates) if other.pattern == member.pattern]
    place = own[min(member.repetition, len(own) - 1)] if own else None
    rng = np.random.default_rng(member_seed(inputs, "teachers", member))
    chosen = choose_teachers(place, len(candidates), rng, inputs.config.teacher_share)
    return [candidates[index] for index in chosen]


def member_seed(inputs: Inputs, use: str, member: Member) -> int:
    return inputs.seed(use, member.generation, member.pattern, member.repetition)


def judges_of(inputs: Inputs) -> list[Member]:
    """List the judges of generation 0: one beside each member that is trained there.

    Where a share of a label's rows is half a row or less, nothing is left out, nor judged.
    """
    trained = (m for m in members_of(inputs) if m.kind == "pattern" and m.generation == 0)
    return [judge_of(member) for member in trained if len(left_out(inputs, member))]


def judge_of(member: Member) -> Member:
    assert member.generation == 0, "later members know all labeled rows, from their teachers"
    return replace(member, kind="judge")


def left_out(inputs: Inputs, member: Member) -> NDArray[np.int64]:
    """Draw the labeled rows, of every label, that the judge of a member does not learn from.

    Each judge has its own, so that together they speak of most (cross-fitting; out-of-bag
    estimates, Breiman 1996). The member itself learns from all: what it would lose by leaving
    rows out is more than their judgement is worth. [rows]
    """
    config, labels = inputs.config, inputs.labeled.labels
    rows: list[int] = []
    if member.kind != "encoder" and member.generation == 0:
        rng = np.random.default_rng(member_seed(inputs, "left out", member))
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            rows += rng.choice(own, round(config.out_of_bag * len(own)), replace=False).tolist()
    return np.sort(np.asarray(rows, dtype=np.int64))


def folder_of(inputs: Inputs, member: Member) -> Path:
    return inputs.folder / "members" / member.name


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
        heard = dict.fromkeys([*generation_before(inputs, member), *members_of(inputs, 0)])
        shape |= {
            "teachers": [teacher.name for teacher in teachers],
            "heard": [member_fingerprint(inputs, other) for other in heard],
            "pool": unlabeled_fingerprint(inputs),
            "drawn": [
                config.growth_factor,
                config.drawn_labels,
                *([] if len(inputs.labeled) else [config.most_likely, _first_rows(inputs)]),
            ],
            "judged": config.out_of_bag,
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
    return shape


def _encoder_shape(inputs: Inputs) -> dict[str, Any]:
    task = inputs.task
    shape = {"encoder": inputs.digests["encoder"], "fields": task.fields, "labels": task.labels}
    return {**shape, **computation(inputs.config, encoder_length(inputs.config))}


def encoder_length(config: RunConfig) -> int:
    """Tokens of a text that the sentence encoder reads: it reads once, so it may read more."""
    assert config.encoder is not None, "only a run with an encoder asks"
    longest = longest_input(config.encoder, config.encoder_revision)
    return min(config.encoder_max_length, longest)
