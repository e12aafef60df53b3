"""Soft labels of the ensemble, the student that learns from them, and the supervised baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pet.answers import shard_names, stacked_logits
from pet.compilation import plain_encoder
from pet.config import RunConfig, WholeTrainingConfig
from pet.distillation import distillation_loss
from pet.divergence import divergence_told
from pet.ensembling import combine, softmax
from pet.inputs import Inputs, computation
from pet.lineage import member_fingerprint
from pet.loading import choose_device
from pet.logits import logits_table, read_logits, write_logits
from pet.members import Member
from pet.models import Classifier, Rows
from pet.progress import Tick
from pet.runs import Unit, fingerprint, make_unit
from pet.sampling import unlabeled_fingerprint, unlabeled_rows
from pet.scoring import score_columns, tokenize_columns
from pet.student_folder import record_of, write_record
from pet.tables import write_parquet
from pet.teaching import cross_entropy, one_hot
from pet.training import train
from pet.tuning import add_lora, merge_lora
from pet.weighing import ensemble_scaling, member_weights


def write_soft_labels(inputs: Inputs, members: list[Member]) -> Unit:
    """Combine the members into soft labels for every unlabeled row, shard by shard.

    They are honest first, then softened: the student that learns from them is as sure as the
    ensemble, and takes its calibration over.
    """
    config = inputs.config
    weights = member_weights(inputs, members)
    scaling = ensemble_scaling(inputs, members, weights)
    expected = fingerprint(
        members=[member_fingerprint(inputs, member) for member in members], weights=weights,
        rows=unlabeled_fingerprint(inputs), shard_rows=config.shard_rows,
        softened=config.temperature, scaled=[scaling.temperature, scaling.offsets],
    )  # fmt: skip

    def build(folder: Path) -> dict[str, Any]:
        for name in shard_names(inputs):
            ids, logits = stacked_logits(inputs, members, name)
            together = scaling.of(combine(logits, weights))
            soft = softmax(together, config.temperature)
            write_parquet(folder / name, logits_table(ids, soft), {})
        named = {member.name: w for member, w in zip(members, weights, strict=True)}
        return {
            "weights": named, "ensemble_temperature": scaling.temperature,
            "ensemble_offsets": scaling.offsets,
        }  # fmt: skip

    return make_unit(inputs.folder / "soft_labels", expected, build)


def read_soft_labels(inputs: Inputs) -> NDArray[np.float32]:
    """Read the soft labels of all unlabeled rows, in their order. [rows, labels]"""
    files = sorted((inputs.folder / "soft_labels").glob("part-*.parquet"))
    return np.concatenate([read_logits(path)[1] for path in files])


def train_student(inputs: Inputs, soft: Unit) -> Unit:
    """Distil the ensemble into a plain classifier, which is as sure as the ensemble is."""
    config = inputs.config
    expected = fingerprint(
        unit="student", soft_labels=soft.fingerprint, model=inputs.digests["student_model"],
        training=config.shape_of(config.student), temperature=config.temperature,
        seed=inputs.seed("student"), labels=inputs.task.labels,
        **computation(config, config.student_length),
    )  # fmt: skip
    return make_unit(inputs.folder / "student", expected, lambda f: _distil(inputs, f))


def _distil(inputs: Inputs, folder: Path) -> dict[str, Any]:
    config, unlabeled = inputs.config, unlabeled_rows(inputs)
    student = _fresh_classifier(inputs, "student", config.student)
    soft = torch.from_numpy(read_soft_labels(inputs)).to(student.device)

    def loss(scores: Tensor, rows: Rows) -> Tensor:
        return distillation_loss(scores, soft[torch.from_numpy(rows)], config.temperature)

    encoder = plain_encoder(student.tokenizer, inputs.task.fields, config.student_length)
    texts = tokenize_columns(encoder, student.tokenizer, unlabeled.columns)
    with (
        divergence_told(inputs, "student", "student"),
        inputs.observer.stage("training the student", config.student.steps, "steps") as tick,
    ):
        losses = train(
            student, encoder, texts, np.flatnonzero(unlabeled.trainable), loss, config.student,
            seed=inputs.seed("student"), tokens_per_batch=config.tokens_per_batch, tick=tick,
        )  # fmt: skip
    _keep(inputs, student, folder)
    return {"losses": [round(v, 4) for v in losses]}


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
        ref, revision, inputs.task.labels, choose_device(inputs.config.device), inputs.seed(name),
        precision=inputs.config.precision,
    )  # fmt: skip
    add_lora(model, inputs.config, training, inputs.seed(name), trained=model.drawn)
    return model


def load_classifier(config: RunConfig, folder: Path) -> Classifier:
    """Load a student or a baseline of a run, on the run's device."""
    device = choose_device(config.device)
    return Classifier.load(str(folder), device, precision=config.precision)


def train_supervised(inputs: Inputs) -> Unit:
    """Fine-tune the student's model on the labeled rows alone: what anyone asks for first."""
    config, labeled = inputs.config, inputs.labeled
    expected = fingerprint(
        unit="supervised", labeled=inputs.digests["labeled"], seed=inputs.seed("supervised"),
        model=inputs.digests["student_model"], training=config.shape_of(config.supervised),
        labels=inputs.task.labels, fields=inputs.task.fields,
        **computation(config, config.student_length),
    )  # fmt: skip

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
                model, encoder, texts, np.arange(len(labeled)),
                cross_entropy(gold, model.device), config.supervised,
                seed=inputs.seed("supervised"), tokens_per_batch=config.tokens_per_batch, tick=tick,
            )  # fmt: skip
        _keep(inputs, model, folder)
        return {"losses": [round(value, 4) for value in losses]}

    return make_unit(inputs.folder / "supervised", expected, build)


def score_classifier(inputs: Inputs, unit: Unit) -> list[Unit]:
    """Write what a classifier says of the labeled set and the test set."""
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
        units.append(write_logits(inputs, path, expected, stage, len(table), make))
    return units
