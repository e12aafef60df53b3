"""Scores of members: of the labeled set, the test set, the pool, and of no text at all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.data.labeled import LabeledSet
from pet.ensemble.fingerprints import untrained_fingerprint
from pet.ensemble.lineup import Lineup
from pet.ensemble.logits import read_logits, write_logits
from pet.ensemble.member_models import load_member, load_sentence_encoder, prior_path
from pet.ensemble.members import Member, folder_of
from pet.ensemble.predictions import embeddings_path, shard_names
from pet.inputs.inputs import computation
from pet.inputs.pool_sample import texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session
from pet.method.linear_head import load_head
from pet.models.model import Model
from pet.models.scoring import Columns, score_columns
from pet.models.sentence_encoder import encoder_length
from pet.progress import Tick
from pet.storage.units import Unit, fingerprint
from pet.tasks.encoding import Encoder

Load = Callable[[], tuple[Model, Encoder]]

PRIOR_ROWS = 1000  # pool rows on which the labels' prior is measured

CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. 2021, section 5

Ask = Callable[[str, Columns, Tick], NDArray[np.float32]]


def score_untrained(session: Session, member: Member) -> list[Unit]:
    """Write an untrained member's scores of the labeled set and the test set."""
    return _score(session, member, untrained_fingerprint(session, member), pool=False)


def score_member(session: Session, lineup: Lineup, member: Member) -> list[Unit]:
    """Write a member's scores of the labeled set, the test set and the unlabeled rows.

    Held-out members scored the labeled set when they were trained, and nobody reads what they
    predict of the test set.
    """
    return _score(session, member, lineup.fingerprints[member], pool=True)


def _score(session: Session, member: Member, own: str, pool: bool) -> list[Unit]:
    tables = session.inputs.measured()
    if member.kind == "held-out":
        tables = {}
    folder = folder_of(session.folder, member)
    if member.kind == "encoder":
        head = functools.cache(lambda: load_head(folder))

        def ask(file: str, columns: Columns, tick: Tick) -> NDArray[np.float32]:
            vectors = read_logits(embeddings_path(session, file))[1]
            tick(len(vectors))
            return head().logits(vectors)
    else:
        load = _once(session, member)

        def ask(file: str, columns: Columns, tick: Tick) -> NDArray[np.float32]:
            return _ask(session, load, file, columns, tick)

    units = _ask_of_tables(session, folder / "logits", own, member.name, ask, tables)
    return units + (_ask_of_pool(session, folder / "logits", own, member.name, ask) if pool else [])


def embed_texts(session: Session) -> list[Unit]:
    """Write the sentence encoder's vector of every labeled, test and unlabeled row."""
    own = fingerprint(
        encoder=session.digests["encoder"],
        fields=session.task.fields,
        **computation(session.config, encoder_length(session.config)),
    )
    load = functools.cache(lambda: load_sentence_encoder(session.config, session.task))

    def ask(file: str, columns: Columns, tick: Tick) -> NDArray[np.float32]:
        model, encoder = load()
        return score_columns(model, encoder, columns, session.config.tokens_per_batch, tick)

    folder, name = session.folder / "embeddings", "the encoder"
    units = _ask_of_tables(session, folder, own, name, ask, session.inputs.measured())
    return units + _ask_of_pool(session, folder, own, name, ask)


def _once(session: Session, member: Member, calibrated: bool = True) -> Load:
    """Return a function that loads a member when it is first asked."""
    return functools.cache(
        lambda: load_member(
            session.config, session.task, session.folder, member, session.backbone, calibrated
        )
    )


def _ask_of_tables(
    session: Session, folder: Path, own: str, name: str, ask: Ask, tables: Mapping[str, LabeledSet]
) -> list[Unit]:
    """Write a file for each set with known labels.

    Args:
        own: the fingerprint of who is asked.
        ask: returns the answer to a file's texts. [rows, width]
    """
    units = []
    for source, table in tables.items():
        file, expected = f"{source}.parquet", fingerprint(model=own, rows=session.digests[source])

        def make(
            tick: Tick, file: str = file, table: LabeledSet = table
        ) -> tuple[list[str], NDArray[np.float32]]:
            return table.ids, ask(file, table.columns, tick)

        stage = f"{name} on {source}"
        units.append(
            write_logits(session.observer, folder / file, expected, stage, len(table), make)
        )
    return units


def _ask_of_pool(session: Session, folder: Path, own: str, name: str, ask: Ask) -> list[Unit]:
    """Write a file for each shard of unlabeled rows."""
    unlabeled = unlabeled_rows(session)
    source = texts_fingerprint(session)
    size = session.config.shard_rows
    units = []
    for shard, file in enumerate(shard_names(session)):
        rows = slice(shard * size, (shard + 1) * size)

        def make(
            tick: Tick, file: str = file, rows: slice = rows
        ) -> tuple[list[str], NDArray[np.float32]]:
            columns = {name: texts[rows] for name, texts in unlabeled.columns.items()}
            return unlabeled.ids[rows], ask(file, columns, tick)

        expected = fingerprint(model=own, rows=source, shard=shard, size=size)
        count = len(unlabeled.ids[rows])
        stage = f"{name} on pool"
        units.append(write_logits(session.observer, folder / file, expected, stage, count, make))
    return units


def _ask(
    session: Session, load: Load, source: str, columns: Columns, tick: Tick
) -> NDArray[np.float32]:
    """Score texts that every member is asked about: they are tokenised once for all of them."""
    model, encoder = load()
    known = session.tokens.setdefault(source, {})
    return score_columns(model, encoder, columns, session.config.tokens_per_batch, tick, known)


def prior_rows(count: int, seed: int) -> NDArray[np.int64]:
    """Draw the rows on which the prior is measured; the first ones may all be of one day."""
    if count <= PRIOR_ROWS:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, PRIOR_ROWS, replace=False))


def measure_prior(session: Session, pattern: str) -> Unit:
    """Write the untrained model's scores of pool rows, or of texts without content."""
    member = Member(pattern, generation=None)
    own = fingerprint(prior=untrained_fingerprint(session, member))
    load = _once(session, member, calibrated=False)

    def make(tick: Tick) -> tuple[list[str], NDArray[np.float32]]:
        if session.config.calibration == "content-free":
            ids = list(CONTENT_FREE)
            columns = dict.fromkeys(session.task.fields, ids)
        else:
            unlabeled = unlabeled_rows(session)
            rows = prior_rows(len(unlabeled), session.seed("prior"))
            ids = [unlabeled.ids[row] for row in rows]
            columns = {n: [texts[row] for row in rows] for n, texts in unlabeled.columns.items()}
        return ids, _ask(session, load, f"prior: {session.config.calibration}", columns, tick)

    path = prior_path(session.folder, pattern)
    return write_logits(session.observer, path, own, f"{pattern} for its prior", None, make)
