"""What a run will take, by what a few rows took here: minutes per stage, and room on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pet.config import TrainingConfig
from pet.ensemble.lineup import plan_members
from pet.ensemble.member_scoring import PRIOR_ROWS
from pet.inputs.inputs import ROWS_PER_LABEL, Inputs

TRAINING = 3.0  # a row that is learned from costs so many times one that is scored

BYTES_PER_SCORE = 8  # of a label, compressed, with its share of the row's id

BYTES_PER_LABELED_ROW = 60


def estimate(
    inputs: Inputs, pool_rows: int, rates: Mapping[str, float], weights: Mapping[str, int]
) -> dict[str, Any]:
    """Estimate a run's minutes, stage by stage, and its folder's size.

    Args:
        pool_rows: rows of the pool.
        rates: rows a second of `model` where it scores by one pattern, of that model by a pattern
            of several that it scores `together`, of `learning` were it to score as it learns
            (in one pass, while words of several tokens are scored in many), of `student_model`
            and, where there is one, of `encoder`.
        weights: bytes of their weights.
    """
    config = inputs.config
    measured = sum(len(table) for table in inputs.measured().values())
    labels = len(inputs.task.labels)
    scored = min(pool_rows, config.unlabeled_rows or ROWS_PER_LABEL * labels)
    lineup = plan_members(config, inputs.task, inputs.labeled, None, scored)
    distinct = dict.fromkeys(member for members in lineup.generations for member in members)
    patterns = [member for member in distinct if member.kind == "pattern"]
    trained = [member for member in patterns if member.generation is not None]
    held_out = [member for members in lineup.held_out for member in members]
    teaching = [member for members in lineup.teaching[:-1] for member in members]
    untrained = len(lineup.untrained)
    asked = sum(member.generation is None for member in patterns)
    prior = PRIOR_ROWS if config.prior_of_pool else 0
    rows = {
        "zero-shot": ("together", untrained * (min(prior, scored) + measured)),
        "members": ("learning", (len(trained) + len(held_out)) * _learned(config.member)),
        "scoring": ("model", len(trained) * (scored + measured) + len(teaching) * scored),
        "scoring untrained members": ("together", asked * max(0, scored - prior)),
        "student": ("student_model", _learned(config.student)),
        "labels": ("student_model", pool_rows + measured),
    }
    if config.adapt_steps:
        rows["adaptation"] = (
            "learning",
            TRAINING * config.adapt_steps * config.adaptation.batch_size,
        )
    if len(inputs.labeled):
        rows["supervised"] = ("student_model", _learned(config.supervised) + measured)
    if config.encoder is not None:
        rows["embeddings"] = ("encoder", scored + measured)
    minutes = {stage: count / rates[model] / 60 for stage, (model, count) in rows.items()}
    # Adapters are next to nothing.
    copies = len(trained) + len(teaching) if config.member.tuning == "full" else 0
    supervised = weights["student_model"] * ("supervised" in rows)
    disk = (
        copies * weights["model"]
        + weights["student_model"]
        + supervised
        + (len(distinct) + len(teaching)) * scored * labels * BYTES_PER_SCORE
        + pool_rows * (BYTES_PER_LABELED_ROW + 4 * labels)
    )
    return {
        "rows_per_second": round(rates["model"], 1),
        "minutes": round(sum(minutes.values()), 1),
        "stages": {stage: round(spent, 2) for stage, spent in minutes.items()},
        "members": len(distinct),
        "disk_mb": round(disk / 1e6, 1),
    }


def _learned(settings: TrainingConfig) -> float:
    return TRAINING * settings.steps * settings.batch_size
