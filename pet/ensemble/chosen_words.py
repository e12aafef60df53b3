"""Suggested label words, chosen again without the labeled rows that are held out.

Words that were chosen on labeled rows know these rows. What is measured on them, and whoever holds
some of them out, takes words that the other rows suggest, by the same search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.data.labeled import LabeledSet
from pet.ensemble.fingerprints import base_digest
from pet.ensemble.lineup import Lineup
from pet.ensemble.logits import logits_table, read_logits
from pet.ensemble.member_models import prior_offset, prior_texts
from pet.ensemble.members import Member
from pet.inputs.inputs import computation
from pet.inputs.pool_sample import texts_fingerprint
from pet.inputs.session import Session
from pet.method.label_words import Chosen, deal, without
from pet.models.cloze_model import ClozeModel
from pet.models.scoring import Columns, cloze_encoder
from pet.models.word_search import SAMPLED, WordScores, WordSearch, search_words
from pet.storage.files import read_record, write_parquet
from pet.storage.units import DONE, Unit, fingerprint, make_unit
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task

LABELED, PRIOR = "labeled.parquet", "prior.parquet"


@dataclass(frozen=True)
class Words:
    """How labels are asked for under a pattern.

    Attributes:
        task: with the words.
        offset: what takes the prior out of a pattern's scores by them; none without calibration.
    """

    task: Task
    offset: NDArray[np.float32] | None


def encoder_of(session: Session, lineup: Lineup, model: ClozeModel, member: Member) -> Encoder:
    """Compile a trained member's pattern: a held-out one's with words that know no row of its."""
    words = words_of(session, lineup, member)
    return cloze_encoder(session.config, words.task, model, member.pattern, words.offset)


def words_of(session: Session, lineup: Lineup, member: Member) -> Words:
    """Return how a member asks for labels, by its own words and calibration."""
    held_out = member.kind == "held-out"
    rows = lineup.held_out_rows[member] if held_out else np.zeros(0, dtype=np.int64)
    return words_without(session, member.pattern, rows)


def _rows(task: Task, labeled: LabeledSet) -> NDArray[np.int64]:
    return task.rows_of_words(labeled.columns)


def search(session: Session) -> Unit:
    """Write what words are chosen from: log-probabilities at the mask by the untrained model."""
    expected = fingerprint(
        unit="label words",
        model=base_digest(session),
        patterns=[pattern.template for pattern in session.task.patterns],
        own=session.task.own_words,
        rows=session.digests["labeled"],
        words_from=session.task.words_from,
        pool=texts_fingerprint(session),
        calibration=session.config.calibration,
        seed=session.seed("prior"),
        **computation(session.config),
    )

    def build(folder: Path) -> dict[str, Any]:
        rows = _rows(session.task, session.labeled)
        texts = {n: [own[row] for row in rows] for n, own in session.labeled.columns.items()}
        prior: tuple[list[str], Columns] = [], {name: [] for name in session.task.fields}
        if session.config.calibration != "none":
            prior = prior_texts(session, SAMPLED)
        passes = (len(rows) + len(prior[0])) * len(session.task.patterns)
        with session.observer.stage("searching label words", passes, "rows") as tick:
            found = search_words(
                session.config, session.task, session.backbone.model, texts, prior[1], tick
            )
        _write(folder / LABELED, [session.labeled.ids[row] for row in rows], found.rows)
        _write(folder / PRIOR, prior[0], found.prior)
        return {"words": found.words, "counts": found.counts.tolist()}

    return make_unit(session.folder / "label_words", expected, build)


def _write(path: Path, ids: Sequence[str], scores: WordScores) -> None:
    both = np.concatenate([scores.logs, scores.own], axis=2).transpose(1, 0, 2)
    width = both.shape[1] * both.shape[2]
    write_parquet(path, logits_table(ids, both.reshape(len(ids), width)), {})


def _read(session: Session) -> WordSearch:
    folder = session.folder / "label_words"
    record = read_record(folder / DONE)
    words = tuple(record["words"])

    def scores(name: str) -> WordScores:
        flat = read_logits(folder / name)[1]
        patterns, width = len(session.task.patterns), len(words) + len(session.task.labels)
        both = flat.reshape(len(flat), patterns, width).transpose(1, 0, 2)
        return WordScores(both[..., : len(words)], both[..., len(words) :])

    return WordSearch(words, np.array(record["counts"]), scores(LABELED), scores(PRIOR))


def _chosen_without(session: Session, found: WordSearch, rows: NDArray[np.int64]) -> Chosen:
    """Choose words without some of the labeled rows."""
    seen = _rows(session.task, session.labeled)
    kept = np.flatnonzero(~np.isin(seen, rows))
    return found.choose(kept, session.labeled.labels[seen[kept]])


def words_without(session: Session, pattern: str, rows: NDArray[np.int64]) -> Words:
    """Return the words that labels are asked for by under a pattern, without some labeled rows."""
    task = session.task
    if not len(np.intersect1d(_rows(task, session.labeled), rows)):
        return Words(task, prior_offset(session.config, task, session.folder, pattern))
    found = _read(session)
    chosen = _chosen_without(session, found, rows)
    named = dict(zip(task.labels, found.named(chosen), strict=True))
    words = {
        name: {label: (*before, *named[label]) for label, before in own.items()}
        for name, own in task.own_words.items()
    }
    offset = None
    if session.config.calibration != "none":
        place = [own.name for own in task.patterns].index(pattern)
        offset = found.offsets(session.config, task, chosen)[place].astype(np.float32)
    return Words(replace(task, words=words), offset)


def scores_out_of_fold(
    session: Session, patterns: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Score labeled rows by words that were chosen without them; calibrated.

    Returns:
        rows, and the scores of the untrained model. [patterns, rows, labels]
    """
    seen, found = _rows(session.task, session.labeled), _read(session)
    names = [pattern.name for pattern in session.task.patterns]
    places = [names.index(pattern) for pattern in patterns]
    shape = len(names), len(seen), len(session.task.labels)
    scores = np.zeros(shape, dtype=np.float32)
    for fold in deal(session.labeled.labels[seen], session.seed("label words")):
        kept = without(fold, len(seen))
        chosen = found.choose(kept, session.labeled.labels[seen[kept]])
        scores[:, fold] = found.scores(found.rows, chosen)[:, fold]
        scores[:, fold] += found.offsets(session.config, session.task, chosen)[:, None]
    return seen, scores[places]
