"""What a run will take, by what a few rows and steps took here: seconds by stage, and disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pet.checking.rates import Rates
from pet.config import RunConfig
from pet.ensemble.fingerprints import LM_ROWS, adaptation_training, joint_training
from pet.ensemble.joint_training import FOLDS
from pet.ensemble.lineup import Lineup, plan_members
from pet.ensemble.member_models import PRIOR_ROWS
from pet.inputs.inputs import ROWS_PER_LABEL, Inputs
from pet.inputs.presets import JOINT_ROWS
from pet.models.linear_probe import PROBED

START = 12.0  # seconds of a run besides its stages: imports, reading, the report's page

# Seconds of a row: of a linear classifier of words that is fitted in folds and once more, and of a
# file of labels. They are the same whatever the models are.
FITTED, WRITTEN = 2e-3, 1e-4

BYTES_PER_SCORE = 8  # of a label, compressed, with its share of the row's id

BYTES_PER_LABELED_ROW = 60


# What generations brought the student on posts and on films, in points of accuracy, by how many
# labeled rows there were: BERT-tiny, tests/bench/results/quality.md.
GROWTH = {0: (8.1, 0.0), 10: (8.8, 1.1), 50: (1.5, 0.7), 100: (0.6, 0.7)}

GIVES = {
    "joint training": "with 50 labels, on opinions +2.4 points, on rare subjects +2.6",
    "zero-shot": "weights of patterns, the labels' prior",
    "generation 0": "the first ensemble",
    "held-out members": "confidence that is calibrated; no accuracy",
    "embeddings": "one more member, by the encoder",
    "student": "the classifier; on few labels more accurate than its teachers",
    "supervised": "a figure to compare with",
    "evaluation": "accuracy of both on the test rows",
    "labels": "a label for every row of the pool",
}


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes:
        stages: seconds by stage, in order.
        labeled: rows of the labeled set.
        members: how many there are, untrained ones too.
        disk: bytes of the run folder.
    """

    stages: dict[str, float]
    labeled: int
    members: int
    disk: float

    @property
    def seconds(self) -> float:
        return sum(self.stages.values())

    def record(self) -> dict[str, Any]:
        """Return what `pet check --json` prints."""
        return {
            "minutes": round(self.seconds / 60, 1),
            "seconds": {stage: round(spent, 1) for stage, spent in self.stages.items()},
            "gives": {stage: own for stage in self.stages if (own := self._gives(stage))},
            "members": self.members,
            "disk_mb": round(self.disk / 1e6, 1),
        }

    def _gives(self, stage: str) -> str:
        """Describe what a stage is for; of generations, what they have brought before."""
        if stage != "generation 1":
            return GIVES.get(stage, "with the one before" if stage.startswith("generation") else "")
        nearest = min(GROWTH, key=lambda rows: abs(rows - self.labeled))
        posts, films = GROWTH[nearest]
        return f"with {nearest} labels, on topics +{posts:g} points, on opinions +{films:g}"


def estimate(inputs: Inputs, pool_rows: int, rates: Rates) -> Estimate:
    """Estimate a run's seconds, stage by stage, and its folder's size.

    Args:
        pool_rows: rows of the pool.
    """
    config = inputs.config
    scored = rows_scored(config, len(inputs.task.labels), pool_rows)
    lineup = plan_members(config, inputs.task, inputs.labeled, None, scored)
    distinct = dict.fromkeys(member for members in lineup.generations for member in members)
    stages = _of_members(inputs, lineup, scored, rates) | _of_student(
        inputs, scored, pool_rows, rates
    )
    if config.encoder is not None:
        stages = {"embeddings": rates.encoded * (scored + _measured(inputs)), **stages}
    trained = sum(m.kind == "pattern" and m.generation is not None for m in distinct)
    teaching = sum(map(len, lineup.teaching[:-1]))
    # Adapters are next to nothing.
    copies = trained + teaching if config.member.tuning == "full" else 0
    copies += config.base is not None  # what is made of the teacher before members are
    labels = len(inputs.task.labels)
    disk = (
        copies * rates.teacher_bytes
        + rates.student_bytes * (2 if len(inputs.labeled) else 1)
        + (len(distinct) + teaching) * scored * labels * BYTES_PER_SCORE
        + pool_rows * (BYTES_PER_LABELED_ROW + 4 * labels)
    )
    return Estimate({"start and report": START, **stages}, len(inputs.labeled), len(distinct), disk)


def about(seconds: float) -> str:
    """Write an estimated time as a person would: `40 seconds`, `12 minutes`, `3.5 hours`."""
    if seconds < 2 * 60:
        return f"{seconds:.0f} seconds"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def rows_scored(config: RunConfig, labels: int, pool_rows: int) -> int:
    """Return how many rows of the pool members score."""
    return min(pool_rows, config.unlabeled_rows or ROWS_PER_LABEL * labels)


def _measured(inputs: Inputs) -> int:
    return sum(len(table) for table in inputs.measured().values())


def _of_members(inputs: Inputs, lineup: Lineup, scored: int, rates: Rates) -> dict[str, float]:
    """Estimate the seconds of members: untrained, trained and held-out ones."""
    config, measured = inputs.config, _measured(inputs)
    training = rates.loaded + config.member.steps * rates.member_step
    if config.lm_weight:
        training += LM_ROWS * config.member.steps * rates.member_step
    prior = min(scored, PRIOR_ROWS) if config.prior_of_pool else 0
    stages = {}
    if config.adapt_steps:
        batches = adaptation_training(config).batch_size / config.member.batch_size
        stages["adaptation"] = config.adapt_steps * batches * rates.member_step
    if config.base == "joint":  # without each fold, then on all rows
        trained = len(inputs.labeled) >= JOINT_ROWS
        steps = (FOLDS + 1) * config.joint.steps if trained else 0
        batches = joint_training(config).batch_size / config.member.batch_size
        stages["joint training"] = rates.loaded + steps * batches * rates.member_step
    untrained = len(lineup.untrained) * rates.together
    read = rates.tokenized * (scored + measured)
    stages["zero-shot"] = rates.loaded + read + untrained * (prior + measured)
    for number, members in enumerate(lineup.generations):
        patterns = [member for member in members if member.kind == "pattern"]
        if patterns[0].generation is not None:
            scoring = rates.loaded + rates.scored * (scored + measured)
            stages[f"generation {number}"] = _rounds(len(patterns), rates) * (training + scoring)
        elif not number:
            stages["generation 0"] = untrained * (scored - prior)
    held_out = sum(map(len, lineup.held_out))
    teaching = sum(map(len, lineup.teaching[:-1]))
    if held_out:
        of_labeled = rates.scored * len(inputs.labeled)
        stages["held-out members"] = _rounds(held_out, rates) * (training + of_labeled) + _rounds(
            teaching, rates
        ) * (rates.loaded + rates.scored * scored)
    return stages


def _rounds(jobs: int, rates: Rates) -> int:
    """Return how many jobs one process does."""
    return math.ceil(jobs / rates.jobs)


def _of_student(inputs: Inputs, scored: int, pool_rows: int, rates: Rates) -> dict[str, float]:
    """Estimate the seconds of what comes after the members."""
    config, measured = inputs.config, _measured(inputs)
    read, of_row = rates.student_scored, rates.student_step / config.student.batch_size
    learning = config.student.steps * rates.student_step
    if config.linear_student:
        learning = FITTED * scored
    elif config.student.steps:
        learning += read * min(scored, PROBED) + FITTED * scored
    stages = {"student": 2 * rates.student_loaded + learning}
    if len(inputs.labeled):
        rows = config.supervised.steps * config.supervised.batch_size
        stages["supervised"] = 2 * rates.student_loaded + rows * of_row
    stages["evaluation"] = _rounds(1 + bool(len(inputs.labeled)), rates) * (
        rates.student_loaded + read * measured
    )
    stages["labels"] = rates.student_loaded + (read + WRITTEN) * pool_rows / rates.jobs
    return stages
