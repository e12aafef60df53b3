"""Labels without a run: the untrained patterns vote on a pool. Nothing is trained."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.data.data_files import passed_over_warnings
from pet.data.pool import Pool, PoolBatch
from pet.data.rejections import Rejections
from pet.ensemble.member_models import CONTENT_FREE, PRIOR_ROWS
from pet.errors import InputError, Problem, gather, in_one_line
from pet.inputs.inputs import computation
from pet.inputs.model_checks import check_length, check_patterns, suitable, vocabulary_problems
from pet.inputs.pool_sample import check_rejected
from pet.inputs.run_tables import Tables, pool_digest, read_tables
from pet.method.calibration import UNTRAINED, Scaling
from pet.method.label_trees import LabelTree
from pet.method.outcomes import Outcome, outcome_of
from pet.models.cloze_model import ClozeModel
from pet.models.loading import choose_device, model_digest, reading_of
from pet.models.scoring import Columns, cloze_encoders, score_columns, score_in_turn
from pet.models.teachers import teacher_of
from pet.progress import Observer, Tick
from pet.settings import make_config
from pet.storage.digests import file_digests
from pet.storage.locations import place_in_pool
from pet.storage.mirrors import open_run_folder
from pet.storage.units import derive_seed, fingerprint
from pet.student.label_files import (
    LabelWriter,
    PredictBatch,
    Predictions,
    label_into,
    label_metadata,
    refuse_other_labels,
)
from pet.tasks.compilation import choice_encoder
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task, shipped_tasks

SETTINGS = (
    "abstain_below", "calibration", "device", "id_column", "keep_columns", "long_texts",
    "max_length", "max_rejected", "pool_csv", "precision", "seed", "shard_rows", "tokens_per_batch",
)  # fmt: skip


def label_zero_shot(
    task_ref: str,
    pool_path: str,
    out: str | Path,
    model_ref: str,
    observer: Observer,
    *,
    text_column: str | None = None,
    settings: tuple[str, ...] = (),
) -> tuple[int, int, dict[str, Any]]:
    """Label a pool with a task's patterns and a language model as they are.

    Returns:
        (shards written, shards reused, counts), as `label_new_pool` does.

    Raises:
        InputError: all problems of the task, the pool and the model; nothing is written then.
    """
    _refuse_run(task_ref)
    problems = _settings_without_use(settings)
    options = {
        "task": task_ref,
        "pool": pool_path,
        "out": str(out),
        "model": model_ref,
        "text_column": text_column,
    }
    config = make_config(
        options, settings, problems, lambda line: observer.note(f"warning: {line}")
    )
    tables, digest = _read(config, problems, observer)
    task = tables.task
    source = _fingerprint(config, tables, digest, observer)
    run_folder = open_run_folder(out)
    refuse_other_labels(run_folder, source)
    predict, outcome = _load_predictor(config, task, tables.pool, observer)
    writer = LabelWriter(
        run_folder.path,
        task.labels,
        config,
        source,
        label_metadata(task.name, None, digest, "zero-shot"),
        run_folder.push,
        outcome=outcome,
        tree=LabelTree.of(task.labels, task.label_separator),
    )
    return label_into(run_folder, writer, tables.pool, predict, observer)


def _read(config: RunConfig, problems: list[Problem], observer: Observer) -> tuple[Tables, str]:
    """Read and check task, pool and model.

    Returns:
        the tables, whose task has the patterns that suit the model; and the model's digest.
    """
    problems += place_in_pool(config.pool, config.out)
    digest = gather(problems, partial(model_digest, config.model_ref))
    if digest is not None:
        gather(problems, partial(check_length, config, config.model_ref))
    gather(problems, partial(choose_device, config.device))  # before the pool is read
    tables = read_tables(config, problems)
    task, left_out = suitable(tables.task, reading_of(config.model_ref, config.mask))
    check_patterns(config, task)
    for line in left_out:
        observer.note(line)
    if task.rules:
        observer.note("rules are not used here: only a run estimates how often each is right")
    for line in passed_over_warnings(config.pool, tables.pool.passed_over):
        observer.note(f"warning: {line}")
    return replace(tables, task=task), str(digest)


def _fingerprint(config: RunConfig, tables: Tables, digest: str, observer: Observer) -> str:
    """Name the labels by all that they are made from."""
    task = tables.task
    return fingerprint(
        unit="zero-shot labels",
        model=digest,
        fields=task.fields,
        patterns=[[p.template, task.words_in_order(p.name)] for p in task.patterns],
        pool=pool_digest(
            file_digests(tables.pool.files, observer, root=tables.pool.path), config.pool_csv
        ),
        columns=tables.columns,
        id=config.id_column,
        calibration=config.calibration,
        **({"weights": dict(task.weights)} if task.weights else {}),
        **({"shares": task.shares} if task.prior else {}),
        **({"labels_per_text": "any"} if task.several else {}),
        seed=config.seed if config.prior_of_pool else None,
        **computation(config),
    )


def _load_predictor(
    config: RunConfig, task: Task, pool: Pool, observer: Observer
) -> tuple[PredictBatch, Outcome]:
    """Load the model and calibrate its scores; return what predicts a batch of the pool."""
    texts = _texts_of_prior(config, task, pool, observer)
    if texts is not None and config.prior_of_pool:
        for problem in vocabulary_problems({"model": config.model_ref}, {"pool rows": texts}):
            observer.note(f"warning: {in_one_line(problem)}")
    model = teacher_of(config)
    weights = [task.weights.get(pattern.name, 1.0) for pattern in task.patterns]
    encoders: list[Encoder] = []
    scores: NDArray[np.floating] | None = None
    if not task.choices:
        encoders, scores = _calibrated(config, task, model, texts, observer)
    temperature = 1.0 if texts is None else UNTRAINED
    of_pool = scores if config.prior_of_pool else None
    outcome, scaling = _calibration(task, weights, temperature, of_pool)

    def predict(batch: PoolBatch, tick: Tick) -> Predictions:
        if task.choices:
            logits = _ask_for_choices(config, task, model, batch.columns, tick)
        else:
            logits = score_in_turn(
                [(model, encoders)], len(encoders), batch.columns, config.tokens_per_batch, tick
            )
        probabilities = scaling.probabilities(outcome.combine(logits, weights))
        chosen = outcome.choose(probabilities)
        agreement = outcome.agreement(outcome.votes(logits, scaling), chosen)
        return Predictions(probabilities, agreement, "zero-shot", chosen)

    return predict, outcome


def _refuse_run(task_ref: str) -> None:
    if task_ref not in shipped_tasks() and (Path(task_ref) / "config.json").is_file():
        raise InputError(
            Problem(
                task_ref,
                "a task file, or a shipped task, with --zero-shot",
                "the folder of a run",
                "leave out --zero-shot, --model and --set, and the run's student labels",
            )
        )


def _settings_without_use(settings: tuple[str, ...]) -> list[Problem]:
    """Find settings that exist but would change nothing here, such as those of training."""
    names = [setting.partition("=")[0].strip() for setting in settings]
    known = {name.partition(".")[0] for name in names} & RunConfig.model_fields.keys()
    without_use = [name for name in names if name.partition(".")[0] in known - set(SETTINGS)]
    if not without_use:
        return []
    return [
        Problem(
            "--set",
            f"settings of zero-shot labels: {', '.join(SETTINGS)}",
            ", ".join(without_use),
            "leave it out: nothing is trained here",
        )
    ]


def _texts_of_prior(
    config: RunConfig, task: Task, pool: Pool, observer: Observer
) -> Columns | None:
    """Choose the texts on which the labels' prior is measured: a uniform sample of the pool.

    Memory does not grow with the pool, and the sample does not depend on `shard_rows`.
    """
    if config.calibration == "none" or task.choices:  # a place among choices has no prior
        return None
    if config.calibration == "content-free":
        return dict.fromkeys(task.fields, CONTENT_FREE)
    rng = np.random.default_rng(derive_seed(config.seed, "prior"))
    drawn: list[tuple[float, tuple[str, ...]]] = []  # the smallest of one random number per row
    rejected, total = Rejections(), pool.count_rows()
    with observer.stage("reading the pool", total, "rows") as tick:
        for batch in pool.batches(config.shard_rows):
            rows = zip(*(batch.columns[name] for name in task.fields), strict=True)
            numbered = zip(rng.random(len(batch)), rows, strict=True)
            drawn = heapq.nsmallest(PRIOR_ROWS, itertools.chain(drawn, numbered))
            rejected.add(batch.rejected)
            tick(len(batch) + len(batch.rejected))
    check_rejected(config, rejected, total)
    return {name: [row[place] for _, row in drawn] for place, name in enumerate(task.fields)}


def _ask_for_choices(
    config: RunConfig, task: Task, model: ClozeModel, columns: Columns, tick: Tick
) -> NDArray[np.float32]:
    """Score each row's own choices by every pattern, row after row. [patterns, rows, labels]"""
    rows = len(columns[task.fields[0]])
    scores = np.zeros((len(task.patterns), rows, len(task.labels)), np.float32)
    for row in range(rows):
        own = {name: [texts[row]] for name, texts in columns.items()}
        choices = [own[name][0] for name in task.choices]
        for place, pattern in enumerate(task.patterns):
            encoder = choice_encoder(
                model.tokenizer, pattern, choices, model.reading, config.max_length
            )
            scores[place, row] = score_columns(model, encoder, own, config.tokens_per_batch)[0]
        tick(1)
    return scores


def _calibration(
    task: Task,
    weights: Sequence[float],
    temperature: float,
    scores: NDArray[np.floating] | None,
) -> tuple[Outcome, Scaling]:
    """Return what a text's labels can be, and what calibrates the patterns' combined scores.

    Args:
        weights: of the patterns.
        scores: of a sample of the pool; None where there is none. [patterns, rows, labels]
    """
    outcome = outcome_of(task.labels_per_text, None, task.shares)
    scaling = outcome.plain_scaling(temperature, len(task.labels))
    if not outcome.several or scores is None or task.shares is None:
        return outcome, scaling
    combined = outcome.combine(scores, weights)
    scaling = scaling.matched(combined, task.shares)
    return outcome.fitted(scaling.probabilities(combined)), scaling


def _calibrated(
    config: RunConfig, task: Task, model: ClozeModel, texts: Columns | None, observer: Observer
) -> tuple[list[Encoder], NDArray[np.floating] | None]:
    """Compile every pattern, with the labels' prior on some texts taken out of its scores.

    Returns:
        the encoders, and the scores of these texts by them. [patterns, rows, labels]
    """
    encoders = cloze_encoders(config, task, model)
    outcome = outcome_of(task.labels_per_text)
    scores: NDArray[np.floating] | None = None
    if texts is not None:
        rows = len(texts[task.fields[0]])
        with observer.stage("measuring the labels' prior", rows, "rows") as tick:
            models = [(model, encoders)]
            scores = score_in_turn(models, len(encoders), texts, config.tokens_per_batch, tick)
        for encoder, logits in zip(encoders, scores, strict=True):
            offset = outcome.prior_offset(logits, config.calibration, task.shares)
            encoder.offset = offset.astype(np.float32)
            logits += encoder.offset
    return encoders, scores
