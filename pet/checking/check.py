"""A look at a task and its data before any training; nothing is written."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.checking.budget import choose, with_settings
from pet.checking.estimate import estimate
from pet.checking.preview import (
    ZeroShotScores,
    filled_examples,
    preview_pattern,
    rows_to_score,
    score_zero_shot,
    shares_cut,
    take_rows,
)
from pet.checking.rates import measure_rates
from pet.checking.word_suggestions import suggest_words
from pet.config import Budget, ModelRef, RunConfig
from pet.data.data_files import passed_over_warnings
from pet.data.duplicate_ids import RepeatedIds
from pet.data.labeled import LabeledSet, rejected_warnings
from pet.data.rejections import Rejections
from pet.data.text_keys import row_keys
from pet.ensemble.lineup import are_informative, plan_members, unused_labels
from pet.ensemble.rules import labels_of_rules
from pet.errors import InputError, Problem, gather, in_one_line
from pet.inputs.inputs import Inputs
from pet.inputs.job_count import count_jobs
from pet.inputs.model_checks import check_tuning, inspect_models, vocabulary_problems
from pet.inputs.pool_sample import check_learnable, check_rejected, known_texts
from pet.inputs.presets import with_preset
from pet.inputs.run_tables import Tables, count_leaks, read_tables
from pet.inputs.warm_start import check_start
from pet.method.data_quality import duplicate_rows, find_label_issues, near_duplicates
from pet.method.metrics import surely_beats_commonest
from pet.method.outcomes import outcome_of
from pet.method.rule_reliability import firing_of
from pet.method.several_labels import area_under_curve
from pet.models.cloze_model import ClozeModel
from pet.models.loading import choose_device, load_tokenizer, model_digest
from pet.models.scoring import Columns, cloze_encoders
from pet.models.sentence_encoder import encoder_digest, encoder_length
from pet.models.teachers import teacher_of
from pet.settings import make_config, read_budget
from pet.tasks.compilation import plain_encoder
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task, refuse_several
from pet.tasks.windows import MOST

NOWHERE = "-"  # the pool where none is named

COMPARED = 2000  # rows of each set that are compared

SHOWN = 5  # suspects, and pairs of near-duplicates

WORD_ROWS = 300  # labeled rows on which label words are chosen, at most

SUSPECTED_FROM = 4  # labeled rows per label from which label errors are looked for


def check_inputs(
    options: Mapping[str, Any],
    settings: tuple[str, ...] = (),
    budget: str | None = None,
    *,
    with_words: bool = False,
) -> dict[str, Any]:
    """Check a task file, its data and models; estimate what a run would cost.

    Args:
        options: fields of `RunConfig`; `labeled`, `pool`, `test` and the models may be None.
        budget: the time in which the run is to end.
        with_words: search label words, too.

    Raises:
        InputError: everything that is wrong, at once.
    """
    problems = _missing(options, with_words)
    notes: list[str] = []
    time = None if budget is None else gather(problems, lambda: read_budget(budget, settings))
    config = _config_of(options, settings, time, problems, notes)
    gather(problems, lambda: choose_device(config.device))
    models = _sound_models(config, options, problems)
    try:
        tables = read_tables(config, problems)
    except InputError as error:
        raise InputError([own for own in error.problems if own.where != NOWHERE]) from None
    with_pool = options.get("pool") is not None
    found = _of_tables(tables, with_pool)
    found["warnings"] += notes
    sample: Columns = {name: [] for name in tables.task.fields}
    if with_pool:
        sample, warnings = _sample(tables, config, found["pool"]["rows"])
        found["warnings"] += warnings
    found |= _of_texts(tables, sample)
    if tables.task.rules:
        found["rules"] = _of_rules(tables, sample)
        found["warnings"] += _silent(found["rules"], len(tables.labeled), _count(sample))
    texts = {"labeled rows": tables.labeled.columns, "pool rows": sample}
    unread = gather([], lambda: vocabulary_problems(models, texts)) or []
    found["unread"] = list(map(in_one_line, unread))
    if "model" not in models:
        return {**found, "patterns": _filled_patterns(tables)}
    try:
        task, left_out = inspect_models(config, models, tables.task, [])
    except InputError as error:
        raise InputError([*unread, *error.problems]) from None
    found["warnings"] += left_out
    if with_words:
        refuse_several(task, "--suggest-words")
    of_model = _of_model(
        config, task, tables, sample, found.get("pool"), time, with_words=with_words
    )
    return {**found, **of_model, "warnings": found["warnings"] + of_model["warnings"]}


def _missing(options: Mapping[str, Any], with_words: bool) -> list[Problem]:
    """Find what has to be given, too."""
    problems = []
    if with_words and not (options.get("labeled") and options.get("model")):
        fix = "add --labeled and --model: words are chosen on these rows, for this model"
        lacking = "no labeled rows" if options.get("model") else "no model"
        problems.append(Problem("--suggest-words", "labeled rows and a model", lacking, fix))
    if not (options.get("pool") or options.get("labeled")):
        problems.append(
            Problem("the command", "labeled texts or a pool", "neither", "add --labeled or --pool")
        )
    return problems


def _config_of(
    options: Mapping[str, Any],
    settings: tuple[str, ...],
    budget: Budget | None,
    problems: list[Problem],
    notes: list[str],
) -> RunConfig:
    """Make the settings of the run that is asked about, where something of it is still missing."""
    needed = {
        "pool": options.get("pool") or options.get("labeled") or NOWHERE,
        "out": "-",
        "model": options.get("model") or "-",
    }

    def make(more: dict[str, str]) -> RunConfig:
        values = {**options, **needed, **more}
        if more:  # what is wrong, or of a former version, was reported the first time
            return make_config(values, settings, [], lambda line: None)
        return make_config(values, settings, problems, notes.append)

    named = options.get("preset") not in (None, "fast")
    config = make({}) if named else with_preset(make, notes.append, budgeted=budget is not None)
    if options.get("pool") is None:
        config = config.model_copy(update={"pool_csv": config.labeled_csv})
    return config


def _sound_models(
    config: RunConfig, options: Mapping[str, Any], problems: list[Problem]
) -> dict[str, ModelRef]:
    """Return the models that were named and can be found."""
    models = {}
    for name, model in config.model_refs().items():
        if not options.get(name):
            continue
        digest_of = encoder_digest if name == "encoder" else model_digest
        digest = gather(problems, partial(digest_of, model))
        if digest is None:
            continue
        models[name] = model
        if name == "model":
            gather(problems, partial(check_start, config, digest))
    return models


def _filled_patterns(tables: Tables) -> list[dict[str, Any]]:
    """Describe the patterns without a model: labeled rows filled in."""
    return [
        {
            "name": pattern.name,
            "template": pattern.template,
            "causal": pattern.mask_is_last,
            "examples": [
                asdict(example)
                for example in filled_examples(tables.task, pattern.name, tables.labeled)
            ],
        }
        for pattern in tables.task.patterns
    ]


def _of_tables(tables: Tables, with_pool: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "task": tables.task.name,
        "labeled": _describe(tables.task, tables.labeled),
        "warnings": list(tables.labeled.warnings),
    }
    if tables.test is not None:
        found["test"] = _describe(tables.task, tables.test)
        found["warnings"] += tables.test.warnings
        if leaked := count_leaks(tables.task, tables.labeled, tables.test):
            found["warnings"].append(f"{leaked} test rows are in the labeled set: a leak")
    if with_pool:
        found["pool"] = {"rows": tables.pool.count_rows(), "files": len(tables.pool.files)}
        found["warnings"] += passed_over_warnings(str(tables.pool.path), tables.pool.passed_over)
    return found


def _describe(task: Task, table: LabeledSet) -> dict[str, Any]:
    outcome = outcome_of(task.labels_per_text)
    counts = outcome.counts(table.labels, len(task.labels)).tolist()
    return {
        "rows": len(table),
        "rejected": len(table.rejected),
        "counts": dict(zip(task.labels, counts, strict=True)),
    }


def _sample(tables: Tables, config: RunConfig, total: int) -> tuple[Columns, list[str]]:
    """Draw pool rows from the first batch: a look that takes seconds reads no whole pool.

    Args:
        total: rows of the pool.

    Raises:
        InputError: a run would refuse the pool, judging by its first batch.
    """
    task = tables.task
    check_rejected(config, Rejections(), total)  # or there is no first batch
    batch = next(iter(tables.pool.batches()))
    count, rejected = len(batch), len(batch.rejected)
    check_rejected(config, Rejections(batch.rejected), total)
    known = known_texts(config, task, tables.labeled, tables.test)
    keys = row_keys(batch.columns, task.fields)
    whole = count + rejected == total
    check_learnable(config, not whole or any(key not in known for key in keys))
    repeated = RepeatedIds()
    repeated.offer(batch.ids)
    where = config.pool if whole else f"the start of {config.pool}"
    warnings = rejected_warnings(where, batch.rejected, count + rejected)
    warnings += [repeated.warning] if repeated.share else []
    rows = np.random.default_rng(config.seed).permutation(count)[:COMPARED]
    columns = {name: [texts[row] for row in rows] for name, texts in batch.columns.items()}
    return columns, warnings


def _of_texts(tables: Tables, sample: Columns) -> dict[str, Any]:
    """Find duplicates and near-duplicates: within the pool, and across the sets."""
    fields = tables.task.fields
    pool = list(zip(*(sample[name] for name in fields), strict=True))
    labeled = list(zip(*(tables.labeled.columns[name] for name in fields), strict=True))
    joined = ["\n".join(texts) for texts in pool]
    near = near_duplicates(joined)
    own = ["\n".join(texts) for texts in labeled[:COMPARED]]
    found: dict[str, Any] = {
        "rows": len(pool),
        "same": len(duplicate_rows(pool)),
        "near": len(near),
        "examples": [[joined[row], joined[other]] for row, other in near[:SHOWN]],
        "labeled": len(near_duplicates(own)),
        "pool_near_labeled": len(near_duplicates(joined, own)),
    }
    if tables.test is not None:
        test = list(zip(*(tables.test.columns[name] for name in fields), strict=True))
        texts = ["\n".join(row) for row in test[:COMPARED]]
        pairs = near_duplicates(texts, own)
        found["test_near_labeled"] = len(pairs)
        found["test_examples"] = [[texts[row], own[other]] for row, other in pairs[:SHOWN]]
    return {"duplicates": found}


def _of_rules(tables: Tables, sample: Columns) -> dict[str, Any]:
    """Measure where every rule fires, and how often it is right about labeled rows.

    Raises:
        InputError: a rule is slow.
    """
    task = tables.task
    rules, labels = task.rules, labels_of_rules(task)
    of_labeled = np.stack([own.fires(tables.labeled.columns, tables.labeled.ids) for own in rules])
    right = of_labeled & outcome_of(task.labels_per_text).has(tables.labeled.labels, labels).T
    of_pool = np.stack([rule.fires(sample) for rule in rules], axis=1)
    fires = of_pool if len(of_pool) else of_labeled.T
    firing = firing_of(fires, labels, several=task.several)
    return {
        rule.name: {
            "label": rule.label,
            "finds": rule.finds,
            **asdict(firing[place]),
            "labeled": {"rows": int(of_labeled[place].sum()), "right": int(right[place].sum())},
        }
        for place, rule in enumerate(rules)
    }


def _silent(rules: Mapping[str, Any], labeled: int, pool: int) -> list[str]:
    """Warn of rules that fire nowhere."""
    where = f"{labeled:,} labeled rows" + (f" and {pool:,} of the pool" if pool else "")
    return [
        f"rule {name} fires in none of {where}: {rule['finds']}"
        for name, rule in rules.items()
        if not rule["coverage"] and not rule["labeled"]["rows"]
    ]


def _of_model(
    config: RunConfig,
    task: Task,
    tables: Tables,
    sample: Columns,
    pool: Mapping[str, int] | None,
    budget: Budget | None,
    *,
    with_words: bool,
) -> dict[str, Any]:
    outcome = outcome_of(task.labels_per_text, tables.labeled.labels, task.shares)
    strata = outcome.strata(tables.labeled.labels)
    labeled = take_rows(tables.labeled, rows_to_score(strata))
    model = teacher_of(config)
    check_tuning(config, task, model)
    encoders = cloze_encoders(config, task, model)
    zero_shot = score_zero_shot(
        config, model, encoders, labeled.columns, sample, task.shares, outcome
    )
    scores = zero_shot.ensemble_scores(zero_shot.labeled)
    probabilities = outcome.of_member(scores)
    found: dict[str, Any] = {
        "kind": model.reading,
        "patterns": [
            preview_pattern(task, place, labeled, model, encoder, zero_shot)
            for place, encoder in enumerate(encoders)
        ],
        "zero_shot": _several_zero_shot(task, zero_shot, labeled, scores)
        if task.several
        else _zero_shot(task, zero_shot, labeled, probabilities.argmax(axis=1)),
        "suspects": [] if task.several else _suspects(task, zero_shot, labeled),
        "cut": _cut(config, task, model, encoders, tables, sample),
        "warnings": _seen(task, labeled),
    }
    if with_words:
        some = take_rows(labeled, rows_to_score(labeled.labels, WORD_ROWS))
        suggestion = suggest_words(config, task, model, some, sample)
        found["suggested"] = None if suggestion is None else suggestion.record()
    for pattern in found["patterns"]:
        pattern["examples"] = [asdict(example) for example in pattern["examples"]]
    own: dict[str, Any] = {}
    if pool is not None and _count(sample):
        del model
        jobs = count_jobs(config)
        measure = functools.cache(lambda own: measure_rates(own, task, sample, jobs))
        inputs = Inputs(config, task, tables.labeled, tables.test, tables.pool, {})
        if budget is not None:
            choice = choose(inputs, pool["rows"], measure, budget)
            own = dict(choice.settings)
            found["budget"] = {"settings": own, "summary": choice.describe(budget.time)}
        of_models = {name: own[name] for name in own if "student_" in name}
        rates = measure(with_settings(config, of_models))
    if not are_informative(outcome, labeled.labels, probabilities):
        own["train_from"] = 0.0  # as the run will find, too
    config = with_settings(config, own)
    lineup = plan_members(config, task, tables.labeled, None, sys.maxsize)
    found["unused"] = unused_labels(config, tables.labeled.labels, lineup.generations[-1])
    if pool is not None and _count(sample):
        found["estimate"] = estimate(replace(inputs, config=config), pool["rows"], rates).record()
    return found


def _seen(task: Task, labeled: LabeledSet) -> list[str]:
    """Warn of labeled rows on which label words were chosen."""
    seen = len(task.rows_of_words(labeled.columns))
    if not seen:
        return []
    return [
        f"the label words were chosen on {seen:,} of these labeled rows: zero-shot accuracy on "
        "them is too high; a run measures them by words that were chosen without them"
    ]


def _cut(
    config: RunConfig,
    task: Task,
    teacher: ClozeModel,
    encoders: Sequence[Encoder],
    tables: Tables,
    sample: Columns,
) -> dict[str, dict[str, Any]]:
    """Measure by role how many tokens of a row are read, and the share of rows that are longer."""
    sets = {"labeled": tables.labeled.columns, "pool": sample}
    if tables.test is not None:
        sets["test"] = tables.test.columns
    some = {
        name: {field: texts[:COMPARED] for field, texts in own.items()}
        for name, own in sets.items()
        if _count(own)
    }
    found = {"teacher": (config.max_length, shares_cut(encoders, teacher.tokenizer, some))}
    others = {}
    if not config.linear_student:  # which reads the whole text
        others["student"] = (config.student_ref, config.student_length)
    if config.encoder is not None:
        others["encoder"] = (config.encoder_ref, encoder_length(config))
    for role, (ref, length) in others.items():
        tokenizer = load_tokenizer(ref)
        plain = plain_encoder(tokenizer, task.fields, length, long_texts=config.long_texts)
        found[role] = length, shares_cut([plain], tokenizer, some)
    windows = {"windows": MOST} if config.long_texts == "windows" else {}
    return {
        role: {"max_length": length, **windows, **shares}
        for role, (length, shares) in found.items()
    }


def _count(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _zero_shot(
    task: Task, zero_shot: ZeroShotScores, labeled: LabeledSet, predicted: NDArray[np.int64]
) -> dict[str, Any]:
    """Measure all patterns together, zero-shot: accuracy, and predicted label shares."""
    found: dict[str, Any] = {"labeled_rows": len(predicted), "pool_rows": zero_shot.pool.shape[1]}
    if len(predicted):
        given, right = labeled.labels, labeled.labels[labeled.labels == predicted]
        found["accuracy"] = round(len(right) / len(given), 4)
        found["most_frequent"] = round(float(np.bincount(given).max() / len(given)), 4)
        rows, hits = (np.bincount(own, minlength=len(task.labels)) for own in (given, right))
        found["by_label"] = {
            label: {"rows": int(rows[place]), "right": int(hits[place])}
            for place, label in enumerate(task.labels)
        }
    if found["pool_rows"]:
        votes = zero_shot.ensemble_probabilities(zero_shot.pool).argmax(axis=1)
        shares = np.bincount(votes, minlength=len(task.labels)) / len(votes)
        found["pool_shares"] = dict(zip(task.labels, np.round(shares, 4).tolist(), strict=True))
    return found


def _several_zero_shot(
    task: Task, zero_shot: ZeroShotScores, labeled: LabeledSet, scores: NDArray[np.floating]
) -> dict[str, Any]:
    """Measure how well all patterns together rank the labeled rows by each label, zero-shot."""
    found: dict[str, Any] = {"labeled_rows": len(scores), "pool_rows": zero_shot.pool.shape[1]}
    areas = {
        label: area_under_curve(scores[:, [place]], labeled.labels[:, [place]])
        for place, label in enumerate(task.labels)
    }
    found["areas"] = {
        label: None if area is None else round(area, 4) for label, area in areas.items()
    }
    known = [area for area in areas.values() if area is not None]
    if known:
        found["area"] = round(float(np.mean(known)), 4)
    return found


def _suspects(task: Task, zero_shot: ZeroShotScores, labeled: LabeledSet) -> list[dict[str, Any]]:
    """Find possible label errors: labeled rows for which zero-shot predicts another label."""
    if len(labeled) < SUSPECTED_FROM * len(task.labels):
        return []  # so few rows give no threshold of confidence for a label
    probabilities = zero_shot.ensemble_probabilities(zero_shot.labeled)
    given, predicted = labeled.labels, probabilities.argmax(axis=1)
    if not surely_beats_commonest(given, predicted):
        return []
    suspected = [
        row for row in find_label_issues(probabilities, given) if predicted[row] != given[row]
    ]
    return [
        {
            "id": labeled.ids[row],
            "text": " | ".join(labeled.columns[name][row] for name in task.fields),
            "label": task.labels[given[row]],
            "likelier": task.labels[predicted[row]],
            "probability": round(float(probabilities[row].max()), 4),
        }
        for row in suspected[:SHOWN]
    ]
