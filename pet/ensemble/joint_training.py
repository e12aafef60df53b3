"""Optional: train one model on the labeled rows under all patterns, before it is asked.

A large teacher that is not trained member by member learns so from labels: LoRA on batches under
one pattern after another, then merged, so that a text is still read once for all patterns.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pet.config import JointConfig
from pet.ensemble.divergence import divergence_reported
from pet.ensemble.fingerprints import base_digest, joint_training
from pet.ensemble.logits import logits_table, read_logits
from pet.inputs.presets import JOINT_ROWS
from pet.inputs.session import Session
from pet.method.calibration import UNTRAINED
from pet.method.ensembling import Array, folds_of
from pet.method.paired_tests import is_clearly_higher
from pet.models.batching import Rows
from pet.models.cloze_model import ClozeModel
from pet.models.peft_adapter import add_lora, merge_lora
from pet.models.scoring import Tokens, cloze_encoders, score_together, tokenize_columns
from pet.models.teachers import Backbone
from pet.models.training import label_loss, optimize
from pet.storage.files import write_parquet
from pet.storage.units import Unit, make_unit

FOLDS = 3  # of the labeled rows: each is scored by a model that was trained on the others

Scores = NDArray[np.float32]


def train_jointly(session: Session) -> Unit:
    """Train the teacher on the labeled rows, unless it predicts them clearly better as it is.

    Both are compared by their log-loss, out of fold, each calibrated on the same rows; clearly is
    more than a standard error of the mean difference, since models of two thirds of the rows are
    worse than the one of all. On validation rows training gained 3 to 9 points (movies with 10 and
    50 labels, newsgroups with 50), also where the folds of 50 rows saw no gain. Scores of the
    labeled rows are kept beside the model, from models that were trained without them.
    """
    return make_unit(
        session.folder / "joint", base_digest(session), lambda folder: _build(session, folder)
    )


def labeled_scores(run: Path, patterns: Sequence[str]) -> Scores:
    """Read the scores of the labeled rows, out of fold. [patterns, rows, labels]"""
    return np.stack([read_logits(_scores_path(run / "joint", name))[1] for name in patterns])


def _scores_path(folder: Path, pattern: str) -> Path:
    return folder / "labeled" / f"{pattern}.parquet"


def _build(session: Session, folder: Path) -> dict[str, Any]:
    labeled = session.labeled
    trained = _Trained(session)
    before = trained.scores(np.arange(len(labeled)))
    trained.read_as_evidence(before)
    if len(labeled) < JOINT_ROWS:
        session.observer.note(
            f"the teacher stays as it is: joint training takes {JOINT_ROWS} labeled rows, "
            f"there are {len(labeled)}"
        )
        _save(session, folder, trained.model, before)
        return {"kept": False}
    out_of_fold = np.empty_like(before)
    rng = np.random.default_rng(session.seed("joint", "folds"))
    folds = folds_of(session.outcome.strata(labeled.labels), FOLDS, rng)
    for fold in np.unique(folds):
        held_out = np.flatnonzero(folds == fold)
        others = np.flatnonzero(folds != fold)
        if len(others):
            trained.train(others, f"fold {fold}")
        out_of_fold[:, held_out] = trained.scores(held_out)
        trained.forget()
    losses = [_log_losses(session, scores) for scores in (before, out_of_fold)]
    kept = not is_clearly_higher(losses[1], losses[0])
    means = [float(own.mean()) for own in losses]
    history: list[float] = []
    if kept:
        history = trained.train(np.arange(len(labeled)), "all rows")
        merge_lora(trained.model)
    else:
        session.observer.note(
            "the teacher stays as it is: trained on the other labeled rows, it predicts a row "
            f"worse (log-loss {means[1]:.2f}, untrained {means[0]:.2f})"
        )
    model = trained.model if kept else trained.as_it_was()
    _save(session, folder, model, out_of_fold if kept else before)
    return {
        "kept": kept,
        "log_loss": {"untrained": round(means[0], 4), "trained": round(means[1], 4)},
        "losses": [round(value, 4) for value in history],
    }


def _save(session: Session, folder: Path, model: ClozeModel, scores: Scores) -> None:
    """Keep the model, and its patterns' scores of the labeled rows. [patterns, rows, labels]"""
    model.save(folder)
    for pattern, own in zip(session.task.patterns, scores, strict=True):
        write_parquet(
            _scores_path(folder, pattern.name), logits_table(session.labeled.ids, own), {}
        )


def _log_losses(session: Session, scores: Scores) -> Array:
    """Return the log-loss of the patterns together, calibrated on the same rows. [rows]"""
    outcome, truth = session.outcome, session.labeled.labels
    offsets = _offsets(session, scores)
    logits = outcome.combine(scores + offsets[:, None], [1.0] * len(scores))
    found = outcome.fit_scaling(logits, truth, UNTRAINED).probabilities(logits)
    return outcome.log_losses(found, truth)


def _offsets(session: Session, scores: Scores) -> Scores:
    """Return what makes evidence of scores, where a text may have several labels.

    The labeled rows stand for the pool, of which the model that comes out is asked.

    Args:
        scores: of the labeled rows. [patterns, rows, labels]

    Returns:
        [patterns, labels]
    """
    if not session.outcome.several:
        return np.zeros((len(scores), scores.shape[-1]), np.float32)
    prior = session.config.calibration
    return np.stack([session.outcome.prior_offset(own, prior) for own in scores]).astype(np.float32)


class _Trained:
    """The teacher, with or without what it has learned of some labeled rows."""

    def __init__(self, session: Session):
        config = session.config
        self._session = session
        before = config.model_copy(update={"joint": JointConfig()})
        self._backbone = Backbone.of(before, session.folder)
        self.model: ClozeModel = self._backbone.load()
        self._encoders = cloze_encoders(config, session.task, self.model)
        self._texts: Tokens = {}
        for encoder in self._encoders:
            tokenize_columns(encoder, self.model.tokenizer, session.labeled.columns, self._texts)
        self._offsets: list[Tensor] = []

    def read_as_evidence(self, scores: Scores) -> None:
        """Learn to score by how much more than these. [patterns, rows, labels]"""
        offsets = torch.from_numpy(_offsets(self._session, scores))
        self._offsets = list(offsets.to(self.model.device))

    def train(self, rows: Rows, name: str) -> list[float]:
        """Put LoRA on the model and train it on these labeled rows; return the steps' losses."""
        session, encoders, texts = self._session, self._encoders, self._texts
        settings, seed = joint_training(session.config), session.seed("joint", name)
        add_lora(self.model, session.config, settings, seed)
        gold = session.outcome.targets(session.labeled.labels, len(session.task.labels))
        of_rows = label_loss(session.outcome, gold, self.model.device)

        def loss(rows: Rows, *, step: int) -> Tensor:
            place = step % len(encoders)
            scores = self.model.outputs(encoders[place], texts, rows)
            return of_rows(scores + self._offsets[place], rows)

        stage = f"training all patterns, {name}"
        with (
            divergence_reported(session, "joint", off="joint.steps"),
            session.observer.stage(stage, settings.steps, "steps") as tick,
        ):
            return optimize(
                self.model,
                encoders[0].lengths(texts, rows),
                rows,
                loss,
                settings,
                warmup=session.config.warmup,
                seed=seed,
                tokens_per_batch=session.config.tokens_per_batch,
                tick=tick,
            )

    def scores(self, rows: Rows) -> Scores:
        """Score labeled rows. [patterns, rows, labels]"""
        size = self._session.config.tokens_per_batch
        return score_together(self.model, self._encoders, self._texts, rows, tokens_per_batch=size)

    def as_it_was(self) -> ClozeModel:
        """Load the model anew: where LoRA was taken off, layers have other names."""
        return self._backbone.load()

    def forget(self) -> None:
        """Take off what was learned."""
        if self.model.adapter is not None:
            self.model.active_adapter.set(None)
            self.model.adapter.discard()
            self.model.adapter = None
