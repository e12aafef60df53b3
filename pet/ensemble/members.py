"""Members: who they are, what they are made from, and where what they said is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pet.config import MOST_GENERATIONS, RunConfig
from pet.ensemble.logits import read_logits
from pet.inputs.inputs import Inputs
from pet.method.ensembling import combine
from pet.method.ipet import count_generations, generation_quotas
from pet.method.metrics import beats_commonest
from pet.models.loading import longest_input

FIRST_ROWS_PER_LABEL = 10  # of the first generation without labels

# Candidates per label of that generation: what the authors run zero-shot iPET with
# (`--ipet_n_most_likely 100`).
MOST_LIKELY = 100

GROWTH_GOAL = 1000  # rows at which `generations=paper` stops growing: section 4 of the paper

ENOUGH = 5  # labeled rows from which anything is concluded

# Labeled rows from which generation 0 is trained, however many labels share them. Of 20 labels
# (20 Newsgroups, BERT-tiny, one set each) an untrained start led to an ensemble of .43 with 60
# rows, .43 with 80 and .46 with 100; one that is trained at once to .43, .48 and .49.
MANY_ROWS = 80


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
    kind: Literal["pattern", "encoder", "held-out"] = "pattern"

    @property
    def name(self) -> str:
        if self.kind == "encoder":
            return f"encoder-g{self.generation}"
        if self.kind == "held-out":
            return f"judge{self.generation or ''}-{self.pattern}-r{self.repetition}"
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
    """Say whether the labeled rows are too few to train on at once, or all alike.

    Too few are fewer than `train_from` for every label, and than `MANY_ROWS` in all.
    """
    train_from, rows = inputs.config.train_from, len(inputs.labeled)
    if not rows or not train_from:
        return not rows
    enough = min(train_from * len(inputs.task.labels), MANY_ROWS)
    return rows < enough or are_alike(inputs.labeled.labels)


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
            len(inputs.labeled), config.growth_factor, GROWTH_GOAL, first_rows(inputs)
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
    return generation_quotas(counts, generation, factor, first_rows(inputs))


def first_rows(inputs: Inputs) -> int:
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


def member_seed(inputs: Inputs, use: str, member: Member) -> int:
    return inputs.seed(use, member.generation, member.pattern, member.repetition)


def folder_of(inputs: Inputs, member: Member) -> Path:
    return inputs.folder / "members" / member.name


def encoder_length(config: RunConfig) -> int:
    """Tokens of a text that the sentence encoder reads: it reads once, so it may read more."""
    assert config.encoder is not None, "only a run with an encoder asks"
    longest = longest_input(config.encoder, config.encoder_revision)
    return min(config.encoder_max_length, longest)
