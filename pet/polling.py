"""What members say: of the labeled set, the test set, the pool, and before any text at all."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.encoding import tokenize
from pet.inputs import Inputs
from pet.logits import write_logits
from pet.members import Member, folder_of, load_member, member_fingerprint, prior_path
from pet.progress import Tick
from pet.runs import Unit, fingerprint
from pet.sampling import unlabeled_fingerprint, unlabeled_rows
from pet.scoring import Columns, score

PRIOR_ROWS = 1000  # pool rows on which the labels' prior is measured
CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. 2021, section 5


def score_member(inputs: Inputs, member: Member, pool: bool = True) -> list[Unit]:
    """Write what a member says of the labeled set, the test set and the unlabeled rows."""
    own = member_fingerprint(inputs, member)
    folder = folder_of(inputs, member) / "logits"
    load = functools.cache(lambda: load_member(inputs.config, inputs.task, inputs.folder, member))
    units = [
        _score_table(inputs, member.name, own, folder / f"{name}.parquet", name, table, load)
        for name, table in inputs.measured().items()
    ]
    return units + (_score_unlabeled(inputs, member, own, folder, load) if pool else [])


def _score_table(
    inputs: Inputs, name: str, own: str, path: Path, source: str, table: Any, load: Any
) -> Unit:
    expected = fingerprint(model=own, rows=inputs.digests[source])

    def make(tick: Tick) -> tuple[list[str], NDArray[np.float32]]:
        return table.ids, _ask(inputs, load, source, table.columns, tick)

    return write_logits(inputs, path, expected, f"{name} on {source}", len(table), make)


def _score_unlabeled(
    inputs: Inputs, member: Member, own: str, folder: Path, load: Any
) -> list[Unit]:
    unlabeled = unlabeled_rows(inputs)
    source = unlabeled_fingerprint(inputs)
    size = inputs.config.shard_rows
    units = []
    for shard, start in enumerate(range(0, len(unlabeled), size)):
        rows = slice(start, start + size)

        def make(tick: Tick, rows: slice = rows) -> tuple[list[str], NDArray[np.float32]]:
            columns = {name: texts[rows] for name, texts in unlabeled.columns.items()}
            scores = _ask(inputs, load, f"pool rows from {rows.start}", columns, tick)
            return unlabeled.ids[rows], scores

        path = folder / f"part-{shard:05d}.parquet"
        expected = fingerprint(model=own, rows=source, shard=shard, size=size)
        count = len(unlabeled.ids[rows])
        units.append(write_logits(inputs, path, expected, f"{member.name} on pool", count, make))
    return units


def _ask(
    inputs: Inputs, load: Any, source: str, columns: Columns, tick: Tick
) -> NDArray[np.float32]:
    """Score texts that every member is asked about: they are tokenised once for all of them."""
    model, encoder = load()
    for slot in encoder.slots:
        if (source, slot) not in inputs.tokens:
            inputs.tokens[source, slot] = tokenize(
                model.tokenizer, columns[slot.name], encoder.max_length, slot.space
            )
    texts = {slot: inputs.tokens[source, slot] for slot in encoder.slots}
    return score(model, encoder, texts, tokens_per_batch=inputs.config.tokens_per_batch, tick=tick)


def measure_prior(inputs: Inputs, pattern: str) -> Unit:
    """Write what the untrained model says of pool rows, or of texts without content."""
    member = Member(pattern, generation=None)
    own = fingerprint(prior=member_fingerprint(inputs, member))
    load = functools.cache(
        lambda: load_member(inputs.config, inputs.task, inputs.folder, member, calibrated=False)
    )

    def make(tick: Tick) -> tuple[list[str], NDArray[np.float32]]:
        if inputs.config.calibration == "content-free":
            ids = list(CONTENT_FREE)
            columns = dict.fromkeys(inputs.task.fields, ids)
        else:
            unlabeled = unlabeled_rows(inputs)
            ids = unlabeled.ids[:PRIOR_ROWS]
            columns = {name: texts[:PRIOR_ROWS] for name, texts in unlabeled.columns.items()}
        return ids, _ask(inputs, load, f"prior: {inputs.config.calibration}", columns, tick)

    path = prior_path(inputs.folder, pattern)
    return write_logits(inputs, path, own, f"{pattern} for its prior", None, make)
