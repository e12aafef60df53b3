"""What rows are grouped by for review: a run's sentence encoder, or else their words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.errors import InputError
from pet.finished import FinishedRun
from pet.logits import read_logits
from pet.member_models import load_sentence_encoder
from pet.progress import Observer
from pet.reviewing.text_vectors import text_vectors
from pet.scoring import Columns, score_columns

Array = NDArray[np.floating]


def row_vectors(
    run: FinishedRun, ids: Sequence[str], columns: Columns, seed: int, observer: Observer
) -> Array:
    """Turn rows of a run's pool into vectors of length one.

    An encoder tells kinds apart better than words do: tests/bench/results/review-encoder.md.
    What it said of the run's unlabeled rows is read again, and it is asked about the others.

    Args:
        ids: of the rows. [rows]
        columns: field -> their texts.

    Returns:
        [rows, width]
    """
    if run.config.encoder is not None:
        try:
            return _embeddings(run, ids, columns, observer)
        except InputError as error:
            observer.say(f"{error}\nRows are grouped by their words instead.")
    return text_vectors(["\n".join(row) for row in zip(*columns.values(), strict=True)], seed)


def _embeddings(
    run: FinishedRun, ids: Sequence[str], columns: Columns, observer: Observer
) -> Array:
    known = _known(run.folder / "embeddings", set(ids))
    new = [row for row, id in enumerate(ids) if id not in known]
    if new:
        model, encoder = load_sentence_encoder(run.config, run.task)
        texts = {name: [column[row] for row in new] for name, column in columns.items()}
        with observer.stage("embedding rows to choose from", len(new), "rows") as tick:
            said = score_columns(model, encoder, texts, run.config.tokens_per_batch, tick)
        known |= {ids[row]: vector for row, vector in zip(new, said, strict=True)}
    return np.stack([known[id] for id in ids])


def _known(folder: Path, ids: set[str]) -> dict[str, NDArray[np.float32]]:
    """Read what the encoder has said of these rows of the pool."""
    found: dict[str, NDArray[np.float32]] = {}
    for path in sorted(folder.glob("part-*.parquet")):
        of_file, vectors = read_logits(path)
        found |= {id: own for id, own in zip(of_file, vectors, strict=True) if id in ids}
    return found
