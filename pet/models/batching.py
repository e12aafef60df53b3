"""Batches: rows of like length together, fewer of them where memory ran out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from pet.errors import PetError, Problem, is_out_of_memory

# What a full memory raises: on the CPU an error of torch's or of Python's.
MEMORY_ERRORS = (RuntimeError, MemoryError)

Rows = NDArray[np.int64]

# Rows of like length share a batch, drawn from random windows of the epoch. A window holds so many
# batches at the most, and so small a share of the epoch that batches differ from epoch to epoch:
# a small labeled set is not sorted at all, or like lengths would always meet.
WINDOW = 50

WINDOWS_PER_EPOCH = 8

# On a CPU, a step of rows of unlike length is taken in several passes: a pass more takes as long as
# this much padding (tokens), in models of every size. A GPU is done with padding sooner.
CPU_PASS = 256


def shuffled_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers for ever, epoch after epoch, batches of like length in random order."""
    rows = len(lengths)
    batch_size = min(batch_size, rows)
    while True:
        order = rng.permutation(rows)
        window = batch_size * max(1, min(WINDOW, rows // (batch_size * WINDOWS_PER_EPOCH)))
        batches = []
        for start in range(0, rows, window):
            part = order[start : start + window]
            part = part[np.argsort(lengths[part], kind="stable")]
            batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        for index in rng.permutation(len(batches)):
            yield batches[index]


def split_by_tokens(
    rows: Rows, lengths: NDArray[np.int64], tokens_per_batch: int, padding: int | None = None
) -> list[NDArray[np.int64]]:
    """Cut rows, longest first, into batches of at most so many tokens, padding counted.

    Args:
        padding: tokens of padding that a batch may hold: with more, the shorter rows are worth a
            batch of their own. Any number if not given.
    """
    order = rows[np.argsort(-lengths, kind="stable")]
    longest = np.sort(lengths)[::-1]
    batches, start = [], 0
    while start < len(order):
        first = int(longest[start])
        count = max(1, tokens_per_batch // first)
        if padding is not None:
            wasted = np.cumsum(first - longest[start : start + count])
            count = int(np.searchsorted(wasted, padding, side="right"))
        batches.append(order[start : start + count])
        start += count
    return batches


def cheapest_passes(
    rows: Rows, lengths: NDArray[np.int64], tokens_per_batch: int, tokens_of_pass: int
) -> list[NDArray[np.int64]]:
    """Cut rows, longest first, into the batches of least tokens, padding counted, and passes.

    Args:
        tokens_of_pass: how many tokens a further batch may cost.
    """
    order = rows[np.argsort(-lengths, kind="stable")]
    longest = np.sort(lengths)[::-1].tolist()
    # Of the first `stop` rows: what they cost at least, and where the last of their batches begins.
    costs, starts = [0.0], [0]
    for stop in range(1, len(order) + 1):
        tokens = ((stop - start) * longest[start] for start in range(stop))
        ways = [
            (costs[start] + own + tokens_of_pass, start)
            for start, own in enumerate(tokens)
            if own <= tokens_per_batch or start == stop - 1
        ]
        cost, start = min(ways)
        costs.append(cost)
        starts.append(start)
    batches, stop = [], len(order)
    while stop:
        batches.append(order[starts[stop] : stop])
        stop = starts[stop]
    return batches[::-1]


def halved(error: Exception, tokens_per_batch: int, longest: int) -> int:
    """Return half the batch size after an out-of-memory error; raise any other error again."""
    if not is_out_of_memory(error):
        raise error
    if tokens_per_batch <= longest:
        raise PetError(
            Problem(
                "",
                f"memory for one row of {longest} tokens",
                str(error),
                "lower max_length, or take a smaller model",
            )
        ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return tokens_per_batch // 2
