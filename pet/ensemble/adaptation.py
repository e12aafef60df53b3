"""Optional: train the teacher on the pool's own language before the members start from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pet.ensemble.divergence import divergence_reported
from pet.ensemble.fingerprints import adaptation_training, adapted_digest
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.session import Session
from pet.models.batching import Rows
from pet.models.scoring import cloze_encoders, tokenize_columns
from pet.models.teachers import teacher_of
from pet.models.training import optimize
from pet.storage.units import Unit, make_unit


def adapt(session: Session) -> Unit:
    """Train the teacher on filled patterns of the pool, in its own pre-training task."""
    config = session.config

    def build(folder: Path) -> dict[str, Any]:
        model = teacher_of(config)
        unlabeled = unlabeled_rows(session)
        encoders = cloze_encoders(config, session.task, model)
        texts = [tokenize_columns(e, model.tokenizer, unlabeled.columns) for e in encoders]

        def loss(rows: Rows, *, step: int) -> Tensor:
            place = step % len(encoders)
            return len(rows) * model.language_model_loss(encoders[place], texts[place], rows)

        rows = np.flatnonzero(unlabeled.trainable)
        settings = adaptation_training(config)
        with (
            divergence_reported(session, "adapted", off="adapt_steps"),
            session.observer.stage("adapting to the pool", settings.steps, "steps") as tick,
        ):
            losses = optimize(
                model,
                encoders[0].lengths(texts[0], rows),
                rows,
                loss,
                settings,
                warmup=config.warmup,
                seed=session.seed("adaptation"),
                tokens_per_batch=config.tokens_per_batch,
                tick=tick,
            )
        model.save(folder)
        return {"losses": [round(value, 4) for value in losses]}

    return make_unit(session.folder / "adapted", adapted_digest(session), build)
