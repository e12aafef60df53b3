"""One training loop, used for members, generations, the student and the baseline."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter, functional

from pet.config import SETTINGS_OF, OptimizerConfig, RunConfig, TrainingConfig
from pet.errors import PetError, Problem, is_out_of_memory
from pet.method.outcomes import AnyLabels, Outcome
from pet.models.batching import (
    CPU_PASS,
    MEMORY_ERRORS,
    Rows,
    cheapest_passes,
    halved,
    shuffled_batches,
    split_by_tokens,
)
from pet.models.loading import seeded
from pet.models.model import Loss, Model, Texts
from pet.models.peft_adapter import ALPHA
from pet.models.used_embeddings import used_embeddings
from pet.progress import Tick, no_tick
from pet.tasks.encoding import Encoder

# AdamW as in Table 5 of the PET paper (arXiv 2001.07676), for every model that is trained.
WEIGHT_DECAY = 0.01  # decoupled
ADAM_EPSILON = 1e-8
MAX_GRAD_NORM = 1.0  # gradients are clipped to it


class StepLoss(Protocol):
    """The sum of some rows' losses, in a step of the training."""

    def __call__(self, rows: Rows, *, step: int) -> Tensor: ...


class Diverged(PetError):
    """The loss, or its gradient, is no longer a number.

    Attributes:
        losses: of the steps before.
        learning_rate: the peak that was trained with.
    """

    def __init__(self, found: str, losses: list[float], learning_rate: float):
        self.found = f"{found} in step {len(losses) + 1}"
        self.losses = losses
        self.learning_rate = learning_rate
        fix = f"lower the learning rate (it is {learning_rate:g})"
        super().__init__(Problem("training", "a loss that is a number", self.found, fix))


def train(
    model: Model,
    encoder: Encoder,
    texts: Texts,
    rows: Rows,
    loss: Loss,
    settings: OptimizerConfig,
    *,
    warmup: float,
    seed: int,
    tokens_per_batch: int,
    tick: Tick = no_tick,
    auxiliary: Callable[[int], Tensor] | None = None,
) -> list[float]:
    """Train the model in place to score labels; return each step's mean loss.

    Args:
        rows: the rows of `texts` to train on.
        loss: (scores [rows, labels], row numbers [rows]) -> the sum of the rows' losses.
        warmup: share of the steps with a rising rate.
        auxiliary: the number of rows -> a further loss of that weight, summed like the first.
        tokens_per_batch: a step of more tokens, or on a CPU of much padding, is taken in several
            passes, gradients added up; when memory runs out it is halved.

    Raises:
        Diverged: the loss, or its gradient, is no longer a number.
        PetError: one row alone, or the optimizer's state, does not fit into memory.
    """

    tokens_of_pass = CPU_PASS if model.device.type == "cpu" else None

    def total(rows: Rows, *, step: int) -> Tensor:
        value = loss(model.outputs(encoder, texts, rows), rows)
        return value if auxiliary is None else value + auxiliary(len(rows))

    # A language-model loss predicts any token.
    whole = auxiliary is not None or not len(rows)
    narrowed = nullcontext() if whole else used_embeddings(model, encoder, texts, rows)
    with narrowed:
        return optimize(
            model,
            encoder.lengths(texts, rows),
            rows,
            total,
            settings,
            warmup=warmup,
            seed=seed,
            tokens_per_batch=tokens_per_batch,
            tokens_of_pass=tokens_of_pass,
            tick=tick,
        )


def optimize(
    model: Model,
    lengths: NDArray[np.int64],
    rows: Rows,
    loss: StepLoss,
    settings: OptimizerConfig,
    *,
    warmup: float,
    seed: int,
    tokens_per_batch: int,
    tick: Tick = no_tick,
    tokens_of_pass: int | None = None,
) -> list[float]:
    """Run AdamW with linear decay on any loss that is a sum over rows; see `train`.

    Args:
        lengths: tokens of each row. [rows]
        tokens_of_pass: how much padding a further pass of a step is worth; as few passes as
            `tokens_per_batch` allows if not given.
    """
    if not len(rows):
        raise PetError(Problem("training", "rows to train on", "none"))
    learning_rate = settings.learning_rate or model.suggested_learning_rate
    parameters = list(model.trained().values())
    optimizer = torch.optim.AdamW(
        _decay_groups(parameters, WEIGHT_DECAY),
        lr=learning_rate,
        eps=ADAM_EPSILON,
        fused=model.device.type in ("cpu", "cuda"),
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, _linear_decay(settings.steps, int(settings.steps * warmup))
    )
    drawn = shuffled_batches(lengths, settings.batch_size, np.random.default_rng(seed))
    history: list[float] = []
    model.module.train()
    model.set_dropout(settings.dropout)
    with seeded(seed):
        for step in range(settings.steps):
            batch = next(drawn)
            while True:
                try:
                    own = rows[batch], lengths[batch], tokens_per_batch
                    passes = (
                        split_by_tokens(*own)
                        if tokens_of_pass is None
                        else cheapest_passes(*own, tokens_of_pass)
                    )
                    value = _accumulate(model, passes, partial(loss, step=step), len(batch))
                    break
                except MEMORY_ERRORS as error:
                    optimizer.zero_grad(set_to_none=True)
                    tokens_per_batch = halved(error, tokens_per_batch, int(lengths[batch].max()))
            norm = torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
            if not math.isfinite(value):
                raise Diverged(f"a loss of {value}", history, learning_rate)
            if not math.isfinite(norm):  # a step of it would make every weight no number
                raise Diverged(f"a gradient of {float(norm)}", history, learning_rate)
            _step(optimizer)
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            history.append(value)
            tick(1)
    model.module.eval()
    return history


def training_shape(config: RunConfig, training: TrainingConfig) -> dict[str, Any]:
    """Return what shapes a trained model: `training`, and the settings of its tuning alone."""
    constants = {
        "weight_decay": WEIGHT_DECAY,
        "max_grad_norm": MAX_GRAD_NORM,
        "adam_epsilon": ADAM_EPSILON,
    }
    shape = {**training.model_dump(exclude={"exits"}), "warmup": config.warmup, **constants}
    if training.tuning == "full":
        return {name: value for name, value in shape.items() if name != "tuning"}
    group = SETTINGS_OF.get(training.tuning)
    tuned = getattr(config, group).model_dump() if group else {}
    if group == "lora":
        tuned["alpha"] = ALPHA
    if "init" in tuned:
        tuned["first tokens"] = "a vector a label, common words"
    return {**shape, "tuned": tuned}


def _step(optimizer: torch.optim.Optimizer) -> None:
    """Take the step; the first one makes room for the optimizer's state, and is never repeated."""
    try:
        optimizer.step()
    except MEMORY_ERRORS as error:
        if not is_out_of_memory(error):
            raise
        raise PetError(
            Problem(
                "training",
                "memory for AdamW's two moments of every weight",
                str(error),
                "take a smaller model, or a device with more memory",
            )
        ) from error


def _accumulate(
    model: Model, passes: list[Rows], loss: Callable[[Rows], Tensor], rows: int
) -> float:
    total = torch.zeros((), device=model.device)
    for part in passes:
        value = loss(part) / rows
        value.backward()
        total += value.detach()
    return float(total)


def _decay_groups(parameters: list[Parameter], weight_decay: float) -> list[dict[str, object]]:
    """Leave biases and layer norms out of weight decay, as BERT's training does."""
    decayed = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _linear_decay(steps: int, warmup: int) -> Callable[[int], float]:
    def rate(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return max(0.0, (steps - step) / max(1, steps - warmup))

    return rate


def cross_entropy(targets: NDArray[np.floating], device: torch.device) -> Loss:
    """Cross-entropy over the labels, summed over the rows (section 3.1 of the PET paper).

    Args:
        targets: one row of probabilities each; all on one label where it is known. [rows, labels]
    """
    wanted = torch.from_numpy(targets.astype(np.float32)).to(device)

    def loss(scores: Tensor, rows: Rows) -> Tensor:
        return functional.cross_entropy(scores, wanted[torch.from_numpy(rows)], reduction="sum")

    return loss


def label_loss(outcome: Outcome, targets: NDArray[np.floating], device: torch.device) -> Loss:
    """Return a member's loss: of one label a text, or of each label by itself.

    Where a text may have several, members' scores are evidence: the base, how often a label holds
    at all, is added before they are compared, so that they need not learn it.
    """
    if isinstance(outcome, AnyLabels):
        return binary_cross_entropy(targets, device, np.asarray(outcome.base, np.float32))
    return cross_entropy(targets, device)


def binary_cross_entropy(
    targets: NDArray[np.floating], device: torch.device, base: NDArray[np.floating] | None = None
) -> Loss:
    """Binary cross-entropy of every label, summed over labels and rows.

    Args:
        targets: probabilities. [rows, labels]
        base: log-odds that are added to the scores. [labels]
    """
    wanted = torch.from_numpy(targets.astype(np.float32)).to(device)
    added = None if base is None else torch.from_numpy(base.astype(np.float32)).to(device)

    def loss(scores: Tensor, rows: Rows) -> Tensor:
        own = scores if added is None else scores + added
        return functional.binary_cross_entropy_with_logits(
            own, wanted[torch.from_numpy(rows)], reduction="sum"
        )

    return loss


def one_hot(labels: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Put all probability on the known label. [rows, labels]"""
    return np.eye(count, dtype=np.float32)[labels]
