"""How fast a run's models are on this machine, timed on the run's own texts and lengths."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pet.config import RunConfig, TrainingConfig
from pet.ensemble.fingerprints import joint_training
from pet.method.word_classifier import MOST_WORDS, fit_word_classifier
from pet.models.adapter_kinds import start_adapter
from pet.models.batching import Rows
from pet.models.causal_model import CausalModel
from pet.models.loading import choose_device
from pet.models.model import Classifier, Model
from pet.models.peft_adapter import add_lora
from pet.models.scoring import (
    Columns,
    Tokens,
    cloze_encoder,
    cloze_encoders,
    score,
    score_together,
    tokenize_columns,
)
from pet.models.sentence_encoder import SentenceEncoder, encoder_length
from pet.models.teachers import teacher_of
from pet.models.training import cross_entropy, one_hot, train
from pet.student.student_folder import as_student
from pet.tasks.compilation import plain_encoder
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task

TIMED_ROWS = 256  # at most: of fewer rows, batches are filled worse than in a run

ENOUGH = 0.5  # seconds after which nothing is timed once more, on more rows or steps

LONGEST = 5.0  # seconds of a step of training; of a larger model, a step of fewer rows is timed

LEARNED = 5.0  # a row that is learned from takes about so many times one that is scored

FAST_STEPS = 16  # steps that are timed; of a slow model, one

SMALL_RATE = 1e-6  # with which nothing diverges

BYTES_OF_WORD = 30  # of a linear student's file


@dataclass(frozen=True)
class Rates:
    """Seconds that the parts of a run take here.

    Attributes:
        tokenized: of a row that the teacher's tokenizer reads, once for all members.
        scored: of a row that the teacher scores by one pattern.
        together: the same where untrained patterns score it together: a causal model reads it once.
        member_step: of a step of a member's training; 0 where none is trained.
        student_scored, student_step: the same of the student.
        encoded: of a row that the encoder reads; 0 where there is none.
        loaded, student_loaded: of loading a model, which saving takes as well.
        teacher_bytes, student_bytes: of their weights.
        jobs: done side by side, each with one thread if there are several.
    """

    tokenized: float
    scored: float
    together: float
    member_step: float
    student_scored: float
    student_step: float
    encoded: float
    loaded: float
    student_loaded: float
    teacher_bytes: int
    student_bytes: int
    jobs: int = 1


def measure_rates(config: RunConfig, task: Task, texts: Columns, jobs: int = 1) -> Rates:
    """Load each model and time it: on some rows, and in a few steps of training.

    Args:
        texts: of the pool, a sample of at least one row.
        jobs: how many are done side by side.
    """
    texts = {name: own[:TIMED_ROWS] for name, own in texts.items()}
    threads = torch.get_num_threads()
    if jobs > 1:
        torch.set_num_threads(1)
    try:
        of_teacher = _measure_teacher(config, task, texts)  # one model at a time: memory is short
        of_student = _measure_student(config, task, texts, threads)
        encoded = _measure_encoder(config, task, texts)
    finally:
        torch.set_num_threads(threads)
    return Rates(**of_teacher, **of_student, encoded=encoded, jobs=jobs)


def _measure_teacher(config: RunConfig, task: Task, texts: Columns) -> dict[str, Any]:
    size = config.tokens_per_batch
    started = time.monotonic()
    teacher = teacher_of(config)
    loaded = time.monotonic() - started
    encoders = cloze_encoders(config, task, teacher)
    tokens, tokenized = _tokenize(encoders, teacher, texts)

    def together(rows: Rows) -> object:
        return score_together(teacher, encoders, tokens, rows, tokens_per_batch=size)

    def alone(rows: Rows) -> object:
        return score(teacher, encoders[0], tokens, rows, tokens_per_batch=size)

    count = _count(texts)
    of_all = _seconds_of_row(together, count) / len(encoders)
    scored = _seconds_of_row(alone, count) if isinstance(teacher, CausalModel) else of_all
    member_step = 0.0
    if config.member.steps or config.adapt_steps or config.joint.steps:
        model, encoder = teacher, encoders[0]
        if config.joint.steps:
            add_lora(model, config, joint_training(config), 0)
        elif config.member.tuning != "full":
            model = teacher.with_adapter(start_adapter(teacher, config, encoder, 0))
            encoder = cloze_encoder(config, task, model, task.patterns[0].name)
        member_step = _seconds_of_step(config, model, encoder, texts, config.member, scored)
    return {
        "tokenized": tokenized,
        "scored": scored,
        "together": of_all,
        "member_step": member_step,
        "loaded": loaded,
        "teacher_bytes": _bytes(teacher),
    }


def _measure_student(config: RunConfig, task: Task, texts: Columns, threads: int) -> dict[str, Any]:
    """Time the student; it is trained while no other job is done, by all threads."""
    if config.linear_student:
        return _measure_linear_student(task, texts)
    device, precision = choose_device(config.device), config.precision
    started = time.monotonic()
    student = Classifier.fresh(config.student_ref, task.labels, device, 0, precision=precision)
    loaded = time.monotonic() - started
    encoder = as_student(config, task, student).encoder()
    scored = _seconds_of_read_row(config, student, encoder, texts)
    step = 0.0
    if config.student.steps or config.supervised.steps:
        add_lora(student, config, config.student, 0, trained=student.drawn)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        step = _seconds_of_step(config, student, encoder, texts, config.student, scored)
        torch.set_num_threads(before)
    return {
        "student_scored": scored,
        "student_step": step,
        "student_loaded": loaded,
        "student_bytes": _bytes(student),
    }


def _measure_linear_student(task: Task, texts: Columns) -> dict[str, Any]:
    """Time the reading of words; what is learned makes no difference to it."""
    columns, count = [texts[name] for name in task.fields], _count(texts)
    labels = np.arange(count) % len(task.labels)
    model = fit_word_classifier(columns, np.arange(count), np.eye(len(task.labels))[labels])

    def ask(rows: Rows) -> object:
        return model.logits([[own[row] for row in rows] for own in columns])

    return {
        "student_scored": _seconds_of_row(ask, count),
        "student_step": 0.0,
        "student_loaded": 0.0,
        "student_bytes": MOST_WORDS * (BYTES_OF_WORD + 4 * len(task.labels)),
    }


def _measure_encoder(config: RunConfig, task: Task, texts: Columns) -> float:
    if config.encoder is None:
        return 0.0
    device = choose_device(config.device)
    model = SentenceEncoder.load(config.encoder_ref, device, precision=config.precision)
    encoder = plain_encoder(
        model.tokenizer, task.fields, encoder_length(config), long_texts=config.long_texts
    )
    return _seconds_of_read_row(config, model, encoder, texts)


def _tokenize(encoders: Sequence[Encoder], model: Model, texts: Columns) -> tuple[Tokens, float]:
    """Tokenise texts for all encoders; return what a row took, too."""
    tokens: Tokens = {}
    tokenize_columns(encoders[0], model.tokenizer, {name: own[:1] for name, own in texts.items()})
    started = time.monotonic()
    for encoder in encoders:
        tokenize_columns(encoder, model.tokenizer, texts, tokens)
    return tokens, (time.monotonic() - started) / _count(texts)


def _seconds_of_read_row(
    config: RunConfig, model: Model, encoder: Encoder, texts: Columns
) -> float:
    """Time tokenising and scoring."""
    tokens, tokenized = _tokenize([encoder], model, texts)

    def ask(rows: Rows) -> object:
        return score(model, encoder, tokens, rows, tokens_per_batch=config.tokens_per_batch)

    return tokenized + _seconds_of_row(ask, _count(texts))


def _seconds_of_row(ask: Callable[[Rows], object], every: int) -> float:
    """Time scoring, of more and more rows until it takes long enough; the first are a warm-up.

    Args:
        every: how many rows there are.
    """
    count = 1
    ask(np.arange(count))
    while True:
        count = min(4 * count, every)
        started = time.monotonic()
        ask(np.arange(count))
        took = time.monotonic() - started
        if took >= ENOUGH or count == every:
            return took / count


def _seconds_of_step(
    config: RunConfig,
    model: Model,
    encoder: Encoder,
    texts: Columns,
    settings: TrainingConfig,
    scored: float,
) -> float:
    """Time steps after the first, which makes room for the optimizer's state.

    Of a large model, steps of as few rows as can be waited for, in proportion to their tokens.

    Args:
        scored: seconds of a row that is only scored.
    """
    tokens, _ = _tokenize([encoder], model, texts)
    lengths = encoder.lengths(tokens, np.arange(_count(texts)))
    size = min(settings.batch_size, max(1, int(LONGEST / (LEARNED * scored))))
    slow = LEARNED * scored * size * FAST_STEPS > LONGEST
    steps = 1 if slow else FAST_STEPS
    rows = _of_all_lengths(lengths, size * steps)
    gold = one_hot(np.zeros(len(lengths), np.int64), model.output_width(encoder))
    changes = {"steps": 1 + steps, "batch_size": size, "learning_rate": SMALL_RATE}
    ends: list[float] = []
    train(
        model,
        encoder,
        tokens,
        rows,
        cross_entropy(gold, model.device),
        settings.model_copy(update=changes),
        warmup=config.warmup,
        seed=0,
        tokens_per_batch=config.tokens_per_batch,
        tick=lambda _: ends.append(time.monotonic()),
    )
    of_rows = min(size, len(rows)) * lengths[rows].mean()
    of_step = (ends[-1] - ends[0]) / steps
    return float(of_step * settings.batch_size * lengths.mean() / of_rows)


def _of_all_lengths(lengths: NDArray[np.int64], count: int) -> Rows:
    """Take rows of short texts and of long ones alike. [count]"""
    order = np.argsort(lengths, kind="stable")
    places = (np.arange(count) + 0.5) * len(order) / count
    return np.unique(order[places.astype(np.int64)])


def _count(texts: Columns) -> int:
    return len(next(iter(texts.values())))


def _bytes(model: Model) -> int:
    return sum(p.numel() * p.element_size() for p in model.module.parameters())
