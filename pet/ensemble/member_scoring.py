"""Scores of members: of the labeled set, the test set, the pool, and of no text at all."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.data.labeled import LabeledSet
from pet.ensemble.chosen_words import encoder_of, scores_out_of_fold
from pet.ensemble.fingerprints import untrained_fingerprint
from pet.ensemble.joint_training import labeled_scores
from pet.ensemble.lineup import Lineup
from pet.ensemble.logits import read_logits, write_logits_of
from pet.ensemble.member_models import (
    load_member,
    load_sentence_encoder,
    prior_offset,
    prior_path,
    prior_rows,
    prior_texts,
)
from pet.ensemble.members import Member, folder_of
from pet.ensemble.predictions import embeddings_path, shard_names
from pet.inputs.inputs import computation
from pet.inputs.pool_sample import texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session
from pet.method.linear_head import load_head
from pet.models.cloze_model import ClozeModel
from pet.models.model import Model
from pet.models.scoring import Columns, score_columns, score_columns_together
from pet.models.sentence_encoder import encoder_length
from pet.progress import Tick
from pet.storage.units import Unit, fingerprint
from pet.tasks.encoding import Encoder

Scores = NDArray[np.float32]

# Scores the texts of a file by those of a scorer's members that are wanted, by their places.
# [members, rows, width]
Ask = Callable[[list[int], str, Columns, Tick], Scores]


@dataclass(frozen=True)
class Scorer:
    """Members that score the same texts, and where their scores are kept.

    Attributes:
        name: what a person sees.
        folders: of the members' scores, in order.
        fingerprints: of the members.
    """

    name: str
    folders: Sequence[Path]
    fingerprints: Sequence[str]
    ask: Ask

    def write(
        self,
        session: Session,
        file: str,
        what: str,
        ids: list[str],
        columns: Columns,
        **rows: object,
    ) -> list[Unit]:
        """Write a file of scores for each member.

        Args:
            rows: what names the rows, in the files' fingerprints.
        """
        return write_logits_of(
            session.observer,
            [folder / file for folder in self.folders],
            [fingerprint(model=own, **rows) for own in self.fingerprints],
            f"{self.name} on {what}",
            len(ids),
            lambda places, tick: (ids, self.ask(places, file, columns, tick)),
        )

    def write_tables(self, session: Session, tables: Mapping[str, LabeledSet]) -> list[Unit]:
        """Write a file for each set with known labels."""
        return [
            unit
            for source, table in tables.items()
            for unit in self.write(
                session,
                f"{source}.parquet",
                source,
                table.ids,
                table.columns,
                rows=session.digests[source],
            )
        ]

    def write_pool(self, session: Session) -> list[Unit]:
        """Write a file for each shard of unlabeled rows."""
        unlabeled, size = unlabeled_rows(session), session.config.shard_rows
        source = texts_fingerprint(session)
        units = []
        for shard, file in enumerate(shard_names(session)):
            rows = slice(shard * size, (shard + 1) * size)
            columns = {name: texts[rows] for name, texts in unlabeled.columns.items()}
            ids = unlabeled.ids[rows]
            units += self.write(
                session, file, "pool", ids, columns, rows=source, shard=shard, size=size
            )
        return units


def score_untrained(session: Session, members: Sequence[Member]) -> list[Unit]:
    """Write untrained members' scores of the labeled set and the test set."""
    scorer = _of_untrained(session, members)
    return scorer.write_tables(session, session.inputs.measured())


def score_members(session: Session, lineup: Lineup, members: Sequence[Member]) -> list[Unit]:
    """Write scores of the labeled set, the test set and the unlabeled rows.

    Held-out members scored the labeled set when they were trained, and nobody reads what they
    predict of the test set.

    Args:
        members: one, or several untrained ones, which are scored together.
    """
    if members[0].generation is None:
        scorer = _of_untrained(session, members)
    else:
        (member,) = members
        is_encoder = member.kind == "encoder"
        ask = _by_encoder(session, member) if is_encoder else _by_pattern(session, lineup, member)
        folder = folder_of(session.folder, member)
        scorer = Scorer(member.name, [folder / "logits"], [lineup.fingerprints[member]], ask)
    tables = {} if members[0].kind == "held-out" else session.inputs.measured()
    return scorer.write_tables(session, tables) + scorer.write_pool(session)


def embed_texts(session: Session) -> list[Unit]:
    """Write the sentence encoder's vector of every labeled, test and unlabeled row."""
    own = fingerprint(
        encoder=session.digests["encoder"],
        fields=session.task.fields,
        **computation(session.config, encoder_length(session.config)),
    )
    load = functools.cache(lambda: load_sentence_encoder(session.config, session.task))

    def ask(places: list[int], file: str, columns: Columns, tick: Tick) -> Scores:
        model, encoder = load()
        size = session.config.tokens_per_batch
        return score_columns(model, encoder, columns, size, tick)[None]

    scorer = Scorer("the encoder", [session.folder / "embeddings"], [own], ask)
    return scorer.write_tables(session, session.inputs.measured()) + scorer.write_pool(session)


def _by_encoder(session: Session, member: Member) -> Ask:
    folder = folder_of(session.folder, member)
    head = functools.cache(lambda: load_head(folder))

    def ask(places: list[int], file: str, columns: Columns, tick: Tick) -> Scores:
        vectors = read_logits(embeddings_path(session, file))[1]
        tick(len(vectors))
        return head().logits(vectors)[None]

    return ask


def _by_pattern(session: Session, lineup: Lineup, member: Member) -> Ask:
    @functools.cache
    def load() -> tuple[Model, Encoder]:
        config, task = session.config, session.task
        model, encoder = load_member(config, task, session.folder, member, session.backbone)
        if member.kind == "held-out" and isinstance(model, ClozeModel):
            encoder = encoder_of(session, lineup, model, member)
        return model, encoder

    def ask(places: list[int], file: str, columns: Columns, tick: Tick) -> Scores:
        model, encoder = load()
        known = session.tokens.setdefault(file, {})  # tokenised once for all members
        size = session.config.tokens_per_batch
        return score_columns(model, encoder, columns, size, tick, known)[None]

    return ask


def _of_untrained(session: Session, members: Sequence[Member]) -> Scorer:
    """Return what scores untrained members: one model, asked about every text once."""
    name = members[0].name if len(members) == 1 else "untrained members"
    folders = [folder_of(session.folder, member) / "logits" for member in members]
    own = [untrained_fingerprint(session, member) for member in members]

    def ask(places: list[int], file: str, columns: Columns, tick: Tick) -> Scores:
        wanted = [members[place] for place in places]
        if file == "labeled.parquet" and session.config.base == "joint":
            return _trained_jointly(session, wanted)
        count = len(next(iter(columns.values())))
        scores = np.empty((len(wanted), count, len(session.task.labels)), np.float32)
        rows, known = _scored_for_prior(session, wanted, file, count)
        if len(rows):
            scores[:, rows] = known
            tick(len(rows))
        rest = np.setdiff1d(np.arange(count), rows)
        scores[:, rest] = _score_patterns(session, wanted, file, columns, rest, tick)
        if file == "labeled.parquet" and session.inputs.words_from_labeled:
            seen, own = scores_out_of_fold(session, [member.pattern for member in wanted])
            scores[:, seen] = own
        return scores

    return Scorer(name, folders, own, ask)


def _trained_jointly(session: Session, members: Sequence[Member]) -> Scores:
    """Return the scores of the labeled rows, out of fold and calibrated. [members, rows, labels]"""
    scores = labeled_scores(session.folder, [member.pattern for member in members])
    for member, own in zip(members, scores, strict=True):
        offset = prior_offset(session.config, session.task, session.folder, member.pattern)
        if offset is not None:
            own += offset
    return scores


def _score_patterns(
    session: Session,
    members: Sequence[Member],
    file: str,
    columns: Columns,
    rows: NDArray[np.int64] | None,
    tick: Tick,
    calibrated: bool = True,
) -> Scores:
    """Score texts by untrained members. [members, rows, labels]"""
    loaded = [
        load_member(
            session.config, session.task, session.folder, member, session.backbone, calibrated
        )
        for member in members
    ]
    model, encoders = loaded[0][0], [encoder for _, encoder in loaded]
    known = session.tokens.setdefault(file, {})
    size = session.config.tokens_per_batch
    return score_columns_together(model, encoders, columns, size, tick, known, rows)


def _scored_for_prior(
    session: Session, members: Sequence[Member], file: str, count: int
) -> tuple[NDArray[np.int64], list[Scores]]:
    """Find rows of a pool's file that were scored when the prior was measured.

    Returns:
        these rows, and their calibrated scores by each member. Each [rows, labels]
    """
    if file not in shard_names(session) or not session.config.prior_of_pool:
        return np.arange(0), []
    first = shard_names(session).index(file) * session.config.shard_rows
    sampled = prior_rows(len(unlabeled_rows(session)), session.seed("prior"))
    inside = (sampled >= first) & (sampled < first + count)
    rows = sampled[inside] - first
    found = []
    for member in members:
        raw = read_logits(prior_path(session.folder, member.pattern))[1][inside]
        offset = prior_offset(session.config, session.task, session.folder, member.pattern)
        found.append(raw if offset is None else raw + offset)
    return rows, found


def measure_prior(session: Session, members: Sequence[Member]) -> list[Unit]:
    """Write untrained members' scores of pool rows, or of texts without content."""
    ids, columns = prior_texts(session)
    source = f"prior: {session.config.calibration}"

    def make(places: list[int], tick: Tick) -> tuple[list[str], Scores]:
        wanted = [members[place] for place in places]
        return ids, _score_patterns(session, wanted, source, columns, None, tick, calibrated=False)

    name = members[0].pattern if len(members) == 1 else "all patterns"
    return write_logits_of(
        session.observer,
        [prior_path(session.folder, member.pattern) for member in members],
        [fingerprint(prior=untrained_fingerprint(session, member)) for member in members],
        f"{name} for the prior",
        len(ids),
        make,
    )
