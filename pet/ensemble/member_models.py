"""A member's model, loaded from its run, and the prior that is taken out of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pet.config import ModelRef, RunConfig
from pet.ensemble.logits import read_logits
from pet.ensemble.members import Member
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.session import Session
from pet.method.outcomes import outcome_of
from pet.models.adapter import is_adapter
from pet.models.loading import choose_device
from pet.models.model import Model
from pet.models.scoring import Columns, cloze_encoder
from pet.models.sentence_encoder import SentenceEncoder, encoder_length
from pet.models.teachers import Backbone, load_teacher
from pet.storage.units import file_digest
from pet.tasks.compilation import plain_encoder
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task


def load_member(
    config: RunConfig,
    task: Task,
    run: Path,
    member: Member,
    backbone: Backbone,
    calibrated: bool = True,
) -> tuple[Model, Encoder]:
    """Load a pattern's member of a run; adapters and untrained members share the backbone."""
    folder = run / "members" / member.name
    if member.generation is None:
        model = backbone.model
    elif is_adapter(folder):
        model = backbone.with_adapter(folder)
    else:
        device = choose_device(config.device)
        model = load_teacher(ModelRef(str(folder)), device, config.mask, precision=config.precision)
    offset = prior_offset(config, task, run, member.pattern) if calibrated else None
    return model, cloze_encoder(config, task, model, member.pattern, offset)


def load_sentence_encoder(config: RunConfig, task: Task) -> tuple[SentenceEncoder, Encoder]:
    """Load the encoder of the encoder member, and what puts texts into it."""
    assert config.encoder is not None, "only a run with an encoder has an encoder member"
    model = SentenceEncoder.load(
        config.encoder_ref,
        choose_device(config.device),
        precision=config.precision,
    )
    return model, plain_encoder(
        model.tokenizer, task.fields, encoder_length(config), long_texts=config.long_texts
    )


PRIOR_ROWS = 1000  # pool rows on which the labels' prior is measured

CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. 2021, section 5


def prior_texts(session: Session, most: int = PRIOR_ROWS) -> tuple[list[str], Columns]:
    """Return the texts by which the labels' prior is measured, by field, and their ids."""
    if session.config.calibration == "content-free":
        return list(CONTENT_FREE), dict.fromkeys(session.task.fields, CONTENT_FREE)
    unlabeled = unlabeled_rows(session)
    rows = prior_rows(len(unlabeled), session.seed("prior"), most)
    columns = {n: [texts[row] for row in rows] for n, texts in unlabeled.columns.items()}
    return [unlabeled.ids[row] for row in rows], columns


def prior_rows(count: int, seed: int, most: int = PRIOR_ROWS) -> NDArray[np.int64]:
    """Draw the rows on which the prior is measured; the first ones may all be of one day."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def prior_path(run: Path, pattern: str) -> Path:
    return run / "members" / Member(pattern, generation=None).name / "logits" / "prior.parquet"


def prior_digests(config: RunConfig, run: Path, members: Sequence[Member]) -> dict[str, str]:
    """Name the priors that members' scores are calibrated by, by pattern; none without any."""
    if config.calibration == "none":
        return {}
    patterns = sorted({member.pattern for member in members if member.kind != "encoder"})
    return {pattern: file_digest(prior_path(run, pattern)) for pattern in patterns}


def prior_offset(
    config: RunConfig, task: Task, run: Path, pattern: str
) -> NDArray[np.float32] | None:
    """What is added to label scores so that none is likelier before a text is read. [labels]

    Where the task knows the labels' shares: so that they are as likely as that.
    """
    if config.calibration == "none":
        return None
    scores = read_logits(prior_path(run, pattern))[1]
    outcome = outcome_of(task.labels_per_text)
    return outcome.prior_offset(scores, config.calibration, task.shares).astype(np.float32)
