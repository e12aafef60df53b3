"""How a member is trained: on the labeled set, and on what other members say of pool rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pet.adaptation import base_model
from pet.encoding import Encoder
from pet.ensembling import combine, softmax
from pet.errors import PetError
from pet.inputs import Inputs
from pet.ipet import draw_rows, generation_quotas
from pet.loading import choose_device
from pet.members import (
    Member,
    folder_of,
    member_fingerprint,
    member_seed,
    member_weights,
    pool_logits,
    prior_offset,
    teachers_of,
)  # fmt: skip
from pet.models import ClozeModel, Loss, Rows
from pet.runs import Unit, make_unit
from pet.sampling import unlabeled_rows
from pet.scoring import cloze_encoder, tokenize_columns
from pet.training import train

LM_ROWS = 3  # unlabeled rows per labeled row of the auxiliary loss: Table 5 of the paper


def cross_entropy(targets: NDArray[np.floating], device: torch.device) -> Loss:
    """Cross-entropy over the labels, summed over the rows (section 3.1 of the PET paper).

    Args:
        targets: one row of probabilities each; all on one label where it is known. [rows, labels]
    """
    wanted = torch.from_numpy(targets.astype(np.float32)).to(device)

    def loss(scores: Tensor, rows: Rows) -> Tensor:
        return functional.cross_entropy(scores, wanted[torch.from_numpy(rows)], reduction="sum")

    return loss


def one_hot(labels: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Put all probability on the known label. [rows, labels]"""
    return np.eye(count, dtype=np.float32)[labels]


def train_member(inputs: Inputs, member: Member) -> Unit:
    """Train a member from the pretrained model on its rows, and keep it."""
    return make_unit(
        folder_of(inputs, member), member_fingerprint(inputs, member),
        lambda folder: _train(inputs, member, folder),
    )  # fmt: skip


def _train(inputs: Inputs, member: Member, folder: Path) -> dict[str, Any]:
    config = inputs.config
    model = ClozeModel.load(*base_model(inputs), choose_device(config.device))
    offset = prior_offset(config, inputs.folder, member.pattern)
    encoder = cloze_encoder(model, inputs.task, member.pattern, config.max_length, offset)
    columns, targets, record = training_rows(inputs, member)
    texts = tokenize_columns(encoder, model.tokenizer, columns)
    with inputs.observer.stage(f"training {member.name}", config.member.steps, "steps") as tick:
        losses = train(
            model, encoder, texts, np.arange(len(targets)),
            _weighted(cross_entropy(targets, model.device), config.lm_weight), config.member,
            seed=member_seed(inputs, "member", member), tokens_per_batch=config.tokens_per_batch,
            tick=tick, auxiliary=_auxiliary(inputs, model, encoder, member),
        )  # fmt: skip
    model.save(folder)
    return {"losses": [round(value, 4) for value in losses], **record}


def _weighted(loss: Loss, lm_weight: float) -> Loss:
    """L = (1 - a) L_CE + a L_MLM: the first half (section 3.2)."""
    return lambda scores, rows: (1 - lm_weight) * loss(scores, rows)


def _auxiliary(
    inputs: Inputs, model: ClozeModel, encoder: Encoder, member: Member
) -> Callable[[int], Tensor] | None:
    """The auxiliary language-model loss on filled pool texts; None where it is not asked for."""
    weight = inputs.config.lm_weight
    if not weight:
        return None
    unlabeled = unlabeled_rows(inputs)
    texts = tokenize_columns(encoder, model.tokenizer, unlabeled.columns)
    trainable = np.flatnonzero(unlabeled.trainable)
    rng = np.random.default_rng(member_seed(inputs, "auxiliary", member))

    def loss(rows: int) -> Tensor:
        drawn = rng.choice(trainable, min(LM_ROWS * rows, len(trainable)), replace=False)
        return weight * rows * model.language_model_loss(encoder, texts, drawn)

    return loss


def training_rows(
    inputs: Inputs, member: Member
) -> tuple[dict[str, list[str]], NDArray[np.float32], dict[str, Any]]:
    """Put together what a member learns from: the labeled set, and what its teachers label.

    Returns:
        texts by field, targets [rows, labels], and a record of what was drawn.
    """
    task, labeled = inputs.task, inputs.labeled
    columns = {name: list(labeled.columns[name]) for name in task.fields}
    targets = one_hot(labeled.labels, len(task.labels))
    if not member.generation:
        return columns, targets, {}
    teachers = teachers_of(inputs, member)
    said = softmax(combine(pool_logits(inputs, teachers), member_weights(inputs, teachers)))
    counts = np.bincount(labeled.labels, minlength=len(task.labels)).tolist()
    first = not len(labeled) and member.generation == 1
    drawn = draw_rows(
        said, generation_quotas(counts, member.generation, inputs.config.growth_factor),
        np.random.default_rng(member_seed(inputs, "draw", member)),
        trainable=unlabeled_rows(inputs).trainable,
        most_likely=inputs.config.most_likely if first else None,
    )  # fmt: skip
    if not len(drawn.rows):
        raise PetError(
            f"{member.name}\n  expected: rows that its teachers label\n  found:    none\n"
            "  fix:      give a larger pool, or fewer generations"
        )
    if drawn.missing.any():
        few = {task.labels[i]: int(n) for i, n in enumerate(drawn.missing) if n}
        inputs.observer.say(f"{member.name}: the teachers found too few rows of: {few}")
    texts = unlabeled_rows(inputs).columns
    for name in task.fields:
        columns[name] += [texts[name][row] for row in drawn.rows]
    hard = one_hot(drawn.labels, len(task.labels))
    soft = said[drawn.rows].astype(np.float32)
    new = hard if inputs.config.drawn_labels == "hard" else soft
    ids = unlabeled_rows(inputs).ids
    record = {
        "teachers": [teacher.name for teacher in teachers],
        "drawn": {"rows": [ids[row] for row in drawn.rows],
                  "labels": [task.labels[label] for label in drawn.labels]},
        "missing": drawn.missing.tolist(),
    }  # fmt: skip
    return columns, np.concatenate([targets, new]), record
