"""The student, and the supervised baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pet.config import ClassWeight, WholeTrainingConfig
from pet.data.labeled import LabeledSet
from pet.ensemble.divergence import divergence_reported
from pet.ensemble.logits import write_logits
from pet.inputs.inputs import computation
from pet.inputs.pool_sample import Unlabeled, texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session
from pet.method.word_classifier import WordClassifier
from pet.models.batching import Rows
from pet.models.linear_probe import fit_head_first
from pet.models.loading import choose_device
from pet.models.model import Classifier
from pet.models.peft_adapter import add_lora, merge_lora
from pet.models.scoring import tokenize_columns
from pet.models.training import binary_cross_entropy, cross_entropy, train, training_shape
from pet.progress import Tick
from pet.storage.units import Unit, fingerprint, make_unit
from pet.student.exits import HELD_OUT, SHARE, held_out_rows
from pet.student.soft_labels import read_targets
from pet.student.student_folder import (
    Student,
    as_student,
    load_student,
    record_of,
    write_record,
)


def distillation_loss(scores: Tensor, soft_labels: Tensor, temperature: float) -> Tensor:
    """Return KL(q || softmax(s / T)) * T^2, summed over the rows.

    The student is tempered like its teachers, and T^2 keeps the gradients' size (Hinton et al.
    2015; section 3.3 of the PET paper, with T = 2).

    Args:
        scores: the student's logits. [rows, labels]
        soft_labels: q, already softened at T. [rows, labels]
    """
    assert scores.shape == soft_labels.shape, "a narrower target would broadcast without a word"
    logs = functional.log_softmax(scores / temperature, dim=-1)
    return functional.kl_div(logs, soft_labels, reduction="sum") * temperature**2


def label_distillation_loss(scores: Tensor, soft_labels: Tensor, temperature: float) -> Tensor:
    """Return the same of several labels a text: KL of each label's answer, summed over the labels.

    Args:
        scores: the student's logits. [rows, labels]
        soft_labels: q, already softened at T. [rows, labels]
    """
    assert scores.shape == soft_labels.shape, "a narrower target would broadcast without a word"
    crossed = functional.binary_cross_entropy_with_logits(
        scores / temperature, soft_labels, reduction="sum"
    )
    own = functional.binary_cross_entropy(soft_labels, soft_labels, reduction="sum")
    return (crossed - own) * temperature**2


def train_student(session: Session, soft: Unit, out_of_fold: Unit | None) -> Unit:
    """Distil the ensemble into a plain classifier, with the ensemble's calibration.

    Args:
        out_of_fold: predictions that correct the ensemble's; it teaches alone if there are none.
    """
    config, training = session.config, session.config.student
    corrected = {} if out_of_fold is None else {"out_of_fold": out_of_fold.fingerprint}
    expected = fingerprint(
        unit="student",
        soft_labels=soft.fingerprint,
        model=session.digests["student_model"],
        training=training_shape(config, training),
        temperature=config.temperature,
        seed=session.seed("student"),
        labels=session.task.labels,
        **computation(config, config.student_length),
        head="linear probe",
        class_weight=config.class_weight,
        **corrected,
        **_problem_type(session),
        **({"held out": [HELD_OUT, SHARE, session.seed("exits")]} if training.exits else {}),
    )

    def build(folder: Path) -> dict[str, Any]:
        learned = read_targets(session, out_of_fold)
        student, losses = _distil(session, learned.soft_labels)
        keep_student(session, student, folder)
        return {"losses": losses, "kept_in_folds": learned.kept, "share_of_folds": learned.share}

    return make_unit(session.folder / "student", expected, build)


def _distil(session: Session, targets: NDArray[np.float32]) -> tuple[Classifier, list[float]]:
    """Train a student; return it, and its losses.

    Args:
        targets: softened probabilities of all unlabeled rows. [rows, labels]
    """
    config, unlabeled, training = session.config, unlabeled_rows(session), session.config.student
    student = _fresh_classifier(session, "student")
    soft = torch.from_numpy(targets).to(student.device)

    distance = label_distillation_loss if session.task.several else distillation_loss

    def loss(scores: Tensor, rows: Rows) -> Tensor:
        return distance(scores, soft[torch.from_numpy(rows)], config.temperature)

    encoder = as_student(config, session.task, student).encoder()
    texts = tokenize_columns(encoder, student.tokenizer, unlabeled.columns)
    rows = np.setdiff1d(np.flatnonzero(unlabeled.trainable), held_out_rows(session))
    rows = rare_repeated(rows, session.outcome.kinds(targets[rows]), config.class_weight)
    if training.steps:
        rng = np.random.default_rng(session.seed("student"))
        fit_head_first(
            student, encoder, texts, rows, targets, config.temperature, rng, session.outcome
        )
    with (
        divergence_reported(session, "student", "student"),
        session.observer.stage("training the student", training.steps, "steps") as tick,
    ):
        losses = train(
            student,
            encoder,
            texts,
            rows,
            loss,
            training,
            warmup=config.warmup,
            seed=session.seed("student"),
            tokens_per_batch=config.tokens_per_batch,
            tick=tick,
        )
    return student, [round(value, 4) for value in losses]


MOST_REPEATS = 8  # of a row of a rare label in an epoch


def rare_repeated(rows: Rows, labels: NDArray[np.int64], weight: ClassWeight) -> Rows:
    """Repeat the rows of rare labels, for an epoch of the student.

    Targets are probabilities given the text, so that this makes no label likelier than it is: only
    texts that are learned more often than others. On validation rows of Reuters (50 labels, sets 5
    and 6, BERT-tiny) the square root made accuracy .837 instead of .832 and macro-F1 .452 instead
    of .437, at the same ECE; the whole ratio made macro-F1 .459 and ECE worse (.063 and .057).

    Args:
        labels: the likeliest of each row. [rows]
    """
    if weight == "none" or not len(rows):
        return rows
    counts = np.maximum(np.bincount(labels), 1)
    ratio = counts.max() / counts
    times = np.round(np.sqrt(ratio) if weight == "sqrt" else ratio).clip(1, MOST_REPEATS)
    return np.repeat(rows, times.astype(np.int64)[labels])


DECIDED = 5000  # pool rows by which thresholds are fitted, at most


def _thresholds(session: Session, student: Student) -> tuple[float, ...]:
    """Fit the thresholds of several labels a text to what a classifier predicts of the pool.

    They are its own: what learns from an ensemble is less sure of most texts than that is.
    """
    if not session.task.several:
        return ()
    columns = unlabeled_rows(session).columns
    rows = np.unique(np.linspace(0, len(unlabeled_rows(session)) - 1, DECIDED).astype(np.int64))
    some = {name: [texts[row] for row in rows] for name, texts in columns.items()}
    probabilities = session.outcome.probabilities(student.logits(some))
    return session.outcome.fitted(probabilities).thresholds


def keep_student(session: Session, model: Classifier | WordClassifier, folder: Path) -> None:
    """Save a student or a baseline so that it can be asked by itself: one of transformers' by it,
    too.
    """
    thresholds = _thresholds(session, as_student(session.config, session.task, model))
    if isinstance(model, Classifier):
        merge_lora(model)
        model.tokenizer.model_max_length = session.config.student_length  # `truncation=True`
    model.save(folder)
    write_record(folder, record_of(session.task, session.config, thresholds))


def _fresh_classifier(session: Session, name: str) -> Classifier:
    config = session.config
    model = Classifier.fresh(
        config.student_ref,
        session.task.labels,
        choose_device(config.device),
        session.seed(name),
        precision=config.precision,
        several=session.task.several,
    )
    add_lora(model, config, config.student, session.seed(name), trained=model.drawn)
    return model


def _problem_type(session: Session) -> dict[str, str]:
    return {"labels_per_text": "any"} if session.task.several else {}


def train_supervised(session: Session) -> Unit:
    """Fine-tune the student's model on the labeled rows alone: what anyone asks for first."""
    config, labeled = session.config, session.labeled
    tuning = config.student.tuning
    training = WholeTrainingConfig(**config.supervised.model_dump(), tuning=tuning)
    expected = fingerprint(
        unit="supervised",
        labeled=session.digests["labeled"],
        seed=session.seed("supervised"),
        model=session.digests["student_model"],
        training=training_shape(config, training),
        labels=session.task.labels,
        fields=session.task.fields,
        **computation(config, config.student_length),
        **_problem_type(session),
    )

    def build(folder: Path) -> dict[str, Any]:
        model = _fresh_classifier(session, "supervised")
        encoder = as_student(config, session.task, model).encoder()
        texts = tokenize_columns(encoder, model.tokenizer, labeled.columns)
        steps = training.steps
        gold = session.outcome.targets(labeled.labels, len(session.task.labels))
        loss = binary_cross_entropy if session.task.several else cross_entropy
        with (
            divergence_reported(session, "supervised", "supervised"),
            session.observer.stage("training the supervised baseline", steps, "steps") as tick,
        ):
            losses = train(
                model,
                encoder,
                texts,
                np.arange(len(labeled)),
                loss(gold, model.device),
                training,
                warmup=config.warmup,
                seed=session.seed("supervised"),
                tokens_per_batch=config.tokens_per_batch,
                tick=tick,
            )
        keep_student(session, model, folder)
        return {"losses": [round(value, 4) for value in losses]}

    return make_unit(session.folder / "supervised", expected, build)


def score_classifier(session: Session, unit: Unit) -> list[Unit]:
    """Write a classifier's scores of the labeled set and the test set."""
    units = []
    for source, table in session.inputs.measured().items():
        expected = fingerprint(model=unit.fingerprint, rows=session.digests[source])
        units.append(_write_scores(session, unit, source, expected, table))
    return units


def score_unlabeled(session: Session, student: Unit) -> Unit:
    """Write the student's scores of the pool rows that the members scored."""
    rows = texts_fingerprint(session)
    expected = fingerprint(model=student.fingerprint, rows=rows)
    return _write_scores(session, student, "pool", expected, unlabeled_rows(session))


def _write_scores(
    session: Session, unit: Unit, source: str, expected: str, table: LabeledSet | Unlabeled
) -> Unit:
    def make(tick: Tick) -> tuple[list[str], NDArray[np.float32]]:
        student = load_student(session.config, session.task, session.folder / unit.path)
        return table.ids, student.logits(table.columns, tick)

    path = session.folder / "evaluation" / f"{unit.path.name}-{source}.parquet"
    stage = f"{unit.path.name} on {source}"
    return write_logits(session.observer, path, expected, stage, len(table), make)
