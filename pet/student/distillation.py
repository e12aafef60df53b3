"""The student, those in folds of the rows before it, and the supervised baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pet.config import WholeTrainingConfig
from pet.ensemble.divergence import divergence_told
from pet.ensemble.logits import logits_table, write_logits
from pet.inputs.inputs import Inputs, computation
from pet.inputs.pool_sample import unlabeled_rows
from pet.method.cross_fitting import Correction
from pet.models.batching import Rows
from pet.models.loading import choose_device
from pet.models.lora import add_lora, merge_lora
from pet.models.model import Classifier, Texts
from pet.models.scoring import score, score_columns, tokenize_columns
from pet.models.training import cross_entropy, one_hot, train
from pet.progress import Tick
from pet.storage.files import write_parquet
from pet.storage.units import Unit, fingerprint, make_unit
from pet.student.soft_labels import FOLD_LOGITS, folds_of_pool, read_soft_labels, read_targets
from pet.student.student_folder import load_classifier, record_of, write_record
from pet.tasks.compilation import plain_encoder
from pet.tasks.encoding import Encoder


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


def train_in_fold(inputs: Inputs, soft: Unit, fold: int) -> Unit:
    """Distil the ensemble into a student on the other folds; write its scores of this one.

    It passes over its rows as often as the final student. Its scores are kept, not its weights.
    """
    config = inputs.config
    count = config.student_folds
    share = {"steps": max(1, round(config.student.steps * (count - 1) / count))}
    training = config.student.model_copy(update=share)
    name = f"student-without-fold-{fold}"
    expected = _student_fingerprint(inputs, name, soft, training, folds=count)

    def build(folder: Path) -> dict[str, Any]:
        ids, folds = unlabeled_rows(inputs).ids, folds_of_pool(inputs)
        assert folds is not None, "there are folds to train on"
        student, losses = _distil(inputs, name, read_soft_labels(inputs), folds != fold, training)
        held_out = np.flatnonzero(folds == fold)
        with inputs.observer.stage(f"scoring fold {fold}", len(held_out), "rows") as tick:
            logits = score(*student, held_out, tokens_per_batch=config.tokens_per_batch, tick=tick)
        write_parquet(folder / FOLD_LOGITS, logits_table([ids[r] for r in held_out], logits), {})
        return {"losses": losses}

    return make_unit(inputs.folder / "cross_fitting" / f"fold-{fold}", expected, build)


def train_student(inputs: Inputs, soft: Unit, in_folds: list[Unit]) -> Unit:
    """Distil the ensemble into a plain classifier of the same calibration.

    Args:
        in_folds: students that have labeled what they had not seen; the ensemble itself teaches if
            there are none.
    """
    training = inputs.config.student
    taught = {"in_folds": [unit.fingerprint for unit in in_folds]} if in_folds else {}
    expected = _student_fingerprint(inputs, "student", soft, training, **taught)

    def build(folder: Path) -> dict[str, Any]:
        learned = read_targets(inputs, in_folds)
        _say_whose(inputs, learned)
        every = np.ones(len(learned.soft_labels), bool)
        (student, _, _), losses = _distil(inputs, "student", learned.soft_labels, every, training)
        _keep(inputs, student, folder)
        return {"losses": losses, "kept_in_folds": learned.kept, "share_of_folds": learned.share}

    return make_unit(inputs.folder / "student", expected, build)


def _say_whose(inputs: Inputs, learned: Correction) -> None:
    """Say of students that are too weak to correct the ensemble that they hardly do."""
    if learned.kept is not None and learned.share < 0.5:
        inputs.observer.note(
            f"of rows that they have not seen, students say {max(learned.kept, 0):.0%} of what the "
            f"ensemble knows: they are heard by {learned.share:.0%}; more pool rows, or a larger "
            "--student-model, would teach them more"
        )


def _student_fingerprint(
    inputs: Inputs, name: str, soft: Unit, training: WholeTrainingConfig, **more: object
) -> str:
    config = inputs.config
    return fingerprint(
        unit=name,
        soft_labels=soft.fingerprint,
        model=inputs.digests["student_model"],
        training=config.shape_of(training),
        temperature=config.temperature,
        seed=inputs.seed(name),
        labels=inputs.task.labels,
        **computation(config, config.student_length),
        **more,
    )


def _distil(
    inputs: Inputs,
    name: str,
    targets: NDArray[np.float32],
    learned: NDArray[np.bool_],
    training: WholeTrainingConfig,
) -> tuple[tuple[Classifier, Encoder, Texts], list[float]]:
    """Train a student; return it, how it reads the unlabeled rows, and its losses.

    Args:
        targets: softened probabilities of all unlabeled rows. [rows, labels]
        learned: the rows to learn from, if they may be. [rows]
    """
    config, unlabeled = inputs.config, unlabeled_rows(inputs)
    student = _fresh_classifier(inputs, name, training)
    soft = torch.from_numpy(targets).to(student.device)

    def loss(scores: Tensor, rows: Rows) -> Tensor:
        return distillation_loss(scores, soft[torch.from_numpy(rows)], config.temperature)

    encoder = plain_encoder(student.tokenizer, inputs.task.fields, config.student_length)
    texts = tokenize_columns(encoder, student.tokenizer, unlabeled.columns)
    with (
        divergence_told(inputs, name, "student"),
        inputs.observer.stage(f"training the {name}", training.steps, "steps") as tick,
    ):
        losses = train(
            student,
            encoder,
            texts,
            np.flatnonzero(unlabeled.trainable & learned),
            loss,
            training,
            seed=inputs.seed(name),
            tokens_per_batch=config.tokens_per_batch,
            tick=tick,
        )
    return (student, encoder, texts), [round(value, 4) for value in losses]


def _keep(inputs: Inputs, model: Classifier, folder: Path) -> None:
    """Save a classifier so that it can be asked by itself: by us, and by plain transformers."""
    length = inputs.config.student_length
    merge_lora(model)
    model.tokenizer.model_max_length = length  # what `truncation=True` cuts to
    model.save(folder)
    write_record(folder, record_of(inputs.task, length))


def _fresh_classifier(inputs: Inputs, name: str, training: WholeTrainingConfig) -> Classifier:
    ref, revision = inputs.student_ref
    model = Classifier.fresh(
        ref,
        revision,
        inputs.task.labels,
        choose_device(inputs.config.device),
        inputs.seed(name),
        precision=inputs.config.precision,
    )
    add_lora(model, inputs.config, training, inputs.seed(name), trained=model.drawn)
    return model


def train_supervised(inputs: Inputs) -> Unit:
    """Fine-tune the student's model on the labeled rows alone: what anyone asks for first."""
    config, labeled = inputs.config, inputs.labeled
    expected = fingerprint(
        unit="supervised",
        labeled=inputs.digests["labeled"],
        seed=inputs.seed("supervised"),
        model=inputs.digests["student_model"],
        training=config.shape_of(config.supervised),
        labels=inputs.task.labels,
        fields=inputs.task.fields,
        **computation(config, config.student_length),
    )

    def build(folder: Path) -> dict[str, Any]:
        model = _fresh_classifier(inputs, "supervised", config.supervised)
        encoder = plain_encoder(model.tokenizer, inputs.task.fields, config.student_length)
        texts = tokenize_columns(encoder, model.tokenizer, labeled.columns)
        steps, gold = config.supervised.steps, one_hot(labeled.labels, len(inputs.task.labels))
        with (
            divergence_told(inputs, "supervised", "supervised"),
            inputs.observer.stage("training the supervised baseline", steps, "steps") as tick,
        ):
            losses = train(
                model,
                encoder,
                texts,
                np.arange(len(labeled)),
                cross_entropy(gold, model.device),
                config.supervised,
                seed=inputs.seed("supervised"),
                tokens_per_batch=config.tokens_per_batch,
                tick=tick,
            )
        _keep(inputs, model, folder)
        return {"losses": [round(value, 4) for value in losses]}

    return make_unit(inputs.folder / "supervised", expected, build)


def score_classifier(inputs: Inputs, unit: Unit) -> list[Unit]:
    """Write a classifier's scores of the labeled set and the test set."""
    trained = inputs.folder / unit.path
    folder = inputs.folder / "evaluation"
    units = []
    for source, table in inputs.measured().items():
        expected = fingerprint(model=unit.fingerprint, rows=inputs.digests[source])

        def make(tick: Tick, table: Any = table) -> tuple[list[str], NDArray[np.float32]]:
            config = inputs.config
            model = load_classifier(config, trained)
            encoder = plain_encoder(model.tokenizer, inputs.task.fields, config.student_length)
            return table.ids, score_columns(
                model, encoder, table.columns, config.tokens_per_batch, tick
            )

        path = folder / f"{unit.path.name}-{source}.parquet"
        stage = f"{unit.path.name} on {source}"
        units.append(write_logits(inputs.observer, path, expected, stage, len(table), make))
    return units
