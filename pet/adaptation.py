"""Optional: train the teacher on the pool's own language before the members start from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pet.cloze_models import ClozeModel
from pet.config import RunConfig, WholeTrainingConfig
from pet.divergence import divergence_told
from pet.inputs import Inputs, computation
from pet.loading import choose_device
from pet.models import Rows
from pet.runs import Unit, fingerprint, make_unit
from pet.sampling import unlabeled_fingerprint, unlabeled_rows
from pet.scoring import cloze_encoder, tokenize_columns
from pet.training import optimize
from pet.tuning import add_lora, merge_lora


def adaptation_training(config: RunConfig) -> WholeTrainingConfig:
    """How the teacher is adapted: as the settings say, for as many steps as are asked for."""
    return config.adaptation.model_copy(update={"steps": config.adapt_steps})


def base_digest(inputs: Inputs) -> str:
    """Name the model that members start from by what it was made of."""
    if not inputs.config.adapt_steps:
        return inputs.digests["model"]
    config = inputs.config
    return fingerprint(
        unit="adapted", model=inputs.digests["model"], pool=unlabeled_fingerprint(inputs),
        training=config.shape_of(adaptation_training(config)),
        patterns=[pattern.template for pattern in inputs.task.patterns],
        words=[inputs.task.words_in_order(pattern.name) for pattern in inputs.task.patterns],
        seed=inputs.seed("adaptation"), **computation(config),
    )  # fmt: skip


def adapt(inputs: Inputs) -> Unit:
    """Train the teacher on filled patterns of the pool, in its own pre-training task."""
    config = inputs.config

    def build(folder: Path) -> dict[str, Any]:
        model = ClozeModel.load(
            config.model, config.model_revision, choose_device(config.device),
            precision=config.precision,
        )  # fmt: skip
        unlabeled = unlabeled_rows(inputs)
        encoders = [
            cloze_encoder(model, inputs.task, pattern.name, config.max_length)
            for pattern in inputs.task.patterns
        ]
        texts = [tokenize_columns(e, model.tokenizer, unlabeled.columns) for e in encoders]

        def loss(rows: Rows, *, step: int) -> Tensor:
            place = step % len(encoders)
            return len(rows) * model.language_model_loss(encoders[place], texts[place], rows)

        rows = np.flatnonzero(unlabeled.trainable)
        settings = adaptation_training(config)
        add_lora(model, config, settings, inputs.seed("adaptation"))
        with (
            divergence_told(inputs, "adapted", "adaptation"),
            inputs.observer.stage("adapting to the pool", settings.steps, "steps") as tick,
        ):
            losses = optimize(
                model, encoders[0].lengths(texts[0], rows), rows, loss, settings,
                seed=inputs.seed("adaptation"), tokens_per_batch=config.tokens_per_batch, tick=tick,
            )  # fmt: skip
        merge_lora(model)
        model.save(folder)
        return {"losses": [round(value, 4) for value in losses]}

    return make_unit(inputs.folder / "adapted", base_digest(inputs), build)
