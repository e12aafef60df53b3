"""How many jobs of a run are done side by side on this machine."""

from __future__ import annotations

import os

import torch

from pet.config import RunConfig
from pet.errors import InputError
from pet.models.loading import choose_device, count_weights

# Weights of teachers and students that gain by it: fewer are trained in seconds, more keep all
# threads busy by themselves.
LEAST_WEIGHTS, MOST_WEIGHTS = 1_000_000, 20_000_000

LEAST_STEPS = 50  # of a member: fewer take less time than its process takes to start

MEMORY = 1.5e9  # bytes of a process


def count_jobs(config: RunConfig) -> int:
    """Return how many jobs are to be done side by side where the user does not say."""
    if config.member.steps < LEAST_STEPS:
        return 1
    try:
        if choose_device(config.device).type != "cpu":
            return 1
        weights = [count_weights(ref) for ref in (config.model_ref, config.student_ref)]
    except InputError:  # reported with all else that is wrong
        return 1
    if min(weights) < LEAST_WEIGHTS or max(weights) > MOST_WEIGHTS:
        return 1
    return max(1, min(torch.get_num_threads(), int(_free_memory() / MEMORY)))


def _free_memory() -> float:
    """Return the bytes of memory that are free; infinity where the system does not say."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return float("inf")
