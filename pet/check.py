"""A look at a task and its data before any training; nothing is written."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np

from pet.cloze_models import ClozeModel
from pet.compilation import word_tokens
from pet.config import make_config
from pet.data import open_pool
from pet.encoding import Encoder
from pet.ensembling import softmax
from pet.errors import InputError, Problem, gather
from pet.evaluation import accuracy
from pet.inputs import (
    ROWS_PER_LABEL,
    Tables,
    count_leaks,
    read_tables,
)  # fmt: skip
from pet.inspection import check_length, suitable
from pet.ipet import count_generations
from pet.labeled import LabeledSet
from pet.loading import choose_device, model_digest
from pet.scoring import cloze_encoder, score_columns, tokenize_columns
from pet.tasks import Task

EXAMPLES = 2  # filled-in rows to show per pattern
SAMPLE = 200  # pool rows to look at


def check_inputs(
    task: str, labeled: str, pool: str | None, test: str | None, model: str | None, *,
    label_column: str | None = None, text_column: str | None = None,
    settings: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """Check a task file, its data and a model; say what a run would see and cost.

    Raises:
        InputError: everything that is wrong, at once.
    """
    problems: list[Problem] = []
    config = make_config(
        {
            "task": task, "labeled": labeled, "pool": pool or labeled, "out": "-", "test": test,
            "model": model or "-", "label_column": label_column, "text_column": text_column,
        },
        settings, problems,
    )  # fmt: skip
    gather(problems, lambda: choose_device(config.device))
    if model is not None:
        revision = config.model_revision
        if gather(problems, partial(model_digest, model, revision)) is not None:
            gather(problems, partial(check_length, config, model, revision))
    tables = read_tables(config, problems)
    found: dict[str, Any] = {
        "task": tables.task.name,
        "labeled": _describe(tables.task, tables.labeled),
        "warnings": list(tables.labeled.warnings),
    }
    if tables.test is not None:
        found["test"] = _describe(tables.task, tables.test)
        if leaked := count_leaks(tables):
            found["warnings"].append(f"{leaked} test rows stand in the labeled set: a leak")
    if pool is not None:
        found["pool"] = {"rows": tables.pool.count_rows(), "files": len(tables.pool.files)}
    if model is None:
        found["patterns"] = [
            {
                "name": pattern.name, "template": pattern.template,
                "causal": pattern.mask_is_last,
                "examples": _examples(tables.task, pattern.name, tables.labeled),
            }
            for pattern in tables.task.patterns
        ]  # fmt: skip
        return found
    language_model = ClozeModel.load(
        model, config.model_revision, choose_device(config.device), precision=config.precision
    )
    usable, left_out = suitable(tables.task, language_model.causal)
    found["warnings"] += left_out
    found["kind"] = "causal" if language_model.causal else "masked"
    found["patterns"] = []
    for pattern in usable.patterns:
        try:
            encoder = cloze_encoder(language_model, tables.task, pattern.name, config.max_length)
        except InputError as error:
            problems += error.problems
            continue
        found["patterns"].append(
            _preview(config, tables.task, pattern.name, language_model, encoder, tables.labeled)
        )
    if problems:
        raise InputError(problems)
    if pool is not None:
        found["estimate"] = _estimate(config, tables, usable, language_model)
    return found


def _describe(task: Task, table: LabeledSet) -> dict[str, Any]:
    counts = np.bincount(table.labels, minlength=len(task.labels)).tolist()
    return {
        "rows": len(table),
        "rejected": len(table.rejected),
        "counts": dict(zip(task.labels, counts, strict=True)),
    }


def _examples(task: Task, name: str, labeled: LabeledSet) -> list[str]:
    pattern = task.pattern(name)
    shown = []
    for row in range(min(EXAMPLES, len(labeled))):
        values = {field: labeled.columns[field][row] for field in task.fields}
        word = task.verbalizer(name)[task.labels[labeled.labels[row]]][0]
        shown.append(pattern.fill(values, f"[{word}]"))
    return shown


def _preview(
    config: Any, task: Task, name: str, model: ClozeModel, encoder: Encoder, labeled: LabeledSet
) -> dict[str, Any]:
    texts = tokenize_columns(encoder, model.tokenizer, labeled.columns)
    cut = np.asarray(sum(texts[slot].lengths for slot in encoder.slots)) > encoder.budget()
    pattern, spell = task.pattern(name), model.tokenizer.convert_ids_to_tokens
    logits = score_columns(model, encoder, labeled.columns, config.tokens_per_batch)
    words = {
        label: [
            {"word": word, "tokens": spell(list(word_tokens(model.tokenizer, pattern, word)))}
            for word in of_label
        ]
        for label, of_label in task.verbalizer(name).items()
    }
    return {
        "name": name,
        "template": pattern.template,
        "causal": pattern.mask_is_last,
        "words": words,
        "examples": _examples(task, name, labeled),
        "shortened": int(cut.sum()),
        "zero_shot_accuracy": round(accuracy(labeled.labels, logits.argmax(axis=1)), 4),
        "zero_shot_confidence": round(float(softmax(logits).max(axis=1).mean()), 4),
    }


def _estimate(
    config: Any, tables: Tables, usable: Task, model: ClozeModel
) -> dict[str, Any] | None:
    """Estimate a run's time from scoring a few pool rows here; a training step costs three."""
    pool = open_pool(
        config.pool, tables.task.fields, columns=tables.columns, id_column=config.id_column
    )
    batch = next(iter(pool.batches(SAMPLE)), None)
    if batch is None or not batch.ids:
        return None
    columns = {name: texts[:SAMPLE] for name, texts in batch.columns.items()}
    name = usable.patterns[0].name
    encoder = cloze_encoder(model, tables.task, name, config.max_length)
    started = time.monotonic()
    score_columns(model, encoder, columns, config.tokens_per_batch)
    rows_per_second = max(len(batch.ids), 1) / (time.monotonic() - started)
    grown = config.generations
    if grown == "paper":
        grown = count_generations(len(tables.labeled), config.growth_factor, config.growth_goal)
    members = len(usable.patterns) * config.repetitions * (1 + grown)
    scored = min(
        pool.count_rows(), config.unlabeled_rows or ROWS_PER_LABEL * len(tables.task.labels)
    )
    training = members * config.member.steps * config.member.batch_size
    student = config.student.steps * config.student.batch_size
    work = members * scored + 3 * (training + student) + pool.count_rows()
    weights = sum(p.numel() * p.element_size() for p in model.module.parameters())
    copies = 2 + (members if config.member.tuning == "full" else 0)  # an adapter is next to nothing
    return {
        "rows_per_second": round(rows_per_second, 1),
        "minutes": round(work / rows_per_second / 60, 1),
        "disk_mb": round(copies * weights / 1e6 + scored * members * 40 / 1e6, 1),
    }
