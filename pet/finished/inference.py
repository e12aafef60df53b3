"""Predictions of a finished run: a pool labeled, texts predicted, a test set evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.config import CsvConfig
from pet.data.data_files import passed_over_warnings
from pet.data.labeled import LabeledSet
from pet.data.text_keys import text_key
from pet.data.text_readers import is_unicode
from pet.errors import InputError, PetError, Problem, gather
from pet.finished.finished_run import FinishedRun, columns_of, open_run
from pet.finished.predictors import (
    ensemble_of_own_pool,
    outcome_by,
    predictor_of,
    student_predictor,
)
from pet.inputs.inputs import computation
from pet.inputs.run_tables import count_leaks, labeled_of, pool_digest, pool_of_run
from pet.method.label_metrics import certainty
from pet.method.label_trees import LabelTree
from pet.progress import Observer, no_tick
from pet.storage.digests import file_digests
from pet.storage.locations import place_in_pool
from pet.storage.mirrors import open_run_folder
from pet.storage.run_folders import recorded_inputs, recorded_run_id
from pet.storage.units import fingerprint
from pet.student.exits import EXITS
from pet.student.label_files import (
    LabelWriter,
    PredictBatch,
    label_into,
    label_metadata,
    refuse_other_labels,
    tree_columns,
)


def label_new_pool(
    folder: Path,
    pool_path: str,
    out: str | Path,
    who: str,
    text_column: str | None,
    observer: Observer,
    csv: CsvConfig | None = None,
) -> tuple[int, int, dict[str, Any]]:
    """Label a pool with a finished run; return shards written, shards reused, and the counts.

    Args:
        csv: how the pool's CSV files are written, if not as those of the run's own pool.
    """
    run = open_run(folder)
    read_as = run.config if csv is None else run.config.model_copy(update={"pool_csv": csv})
    columns = columns_of(run, text_column)
    problems = place_in_pool(pool_path, str(out))
    pool = gather(problems, lambda: pool_of_run(read_as, run.task, pool_path, columns))
    if pool is not None and not pool.count_rows():
        problems.append(Problem(pool_path, "at least one row", "none", "check the path"))
    kept: tuple[str, ...] = ()
    if pool is not None:
        for line in passed_over_warnings(pool_path, pool.passed_over):
            observer.note(f"warning: {line}")
        kept = pool.keepable_beside_labels(run.config.keep_columns, observer.note)
    if problems or pool is None:
        raise InputError(problems)
    model = run.fingerprint_of("student" if who == "student" else "soft_labels")
    of_pool = pool_digest(file_digests(pool.files, observer, root=pool.path), read_as.pool_csv)
    source = fingerprint(
        model=model,
        who=who,
        pool=of_pool,
        columns=columns,
        **_exits_of(run, who),
        **computation(run.config),
    )
    run_folder = open_run_folder(out)
    refuse_other_labels(run_folder, source)
    own = columns == columns_of(run, None) and of_pool == recorded_inputs(folder).get("pool")
    predict = _predictor_of_pool(run, who, own)
    config = run.config.model_copy(update={"keep_columns": kept})
    metadata = label_metadata(run.task.name, recorded_run_id(folder), model, who)
    labels = run.task.labels
    writer = LabelWriter(
        run_folder.path,
        labels,
        config,
        source,
        metadata,
        run_folder.push,
        outcome=run.outcome,
        tree=LabelTree.of(labels, run.task.label_separator),
    )
    return label_into(run_folder, writer, pool, predict, observer)


def _exits_of(run: FinishedRun, who: str) -> dict[str, str]:
    """Name the student's early exits, where it labels and has any."""
    if who != "student" or not run.config.student.exits:
        return {}
    return {"exits": run.fingerprint_of(EXITS)}


def _predictor_of_pool(run: FinishedRun, who: str, own: bool) -> PredictBatch:
    """Return the function that predicts the batches of a pool.

    Args:
        own: whether it is the run's own, of which its ensemble has scored rows.
    """
    if own and who == "ensemble":
        return ensemble_of_own_pool(run)
    predict = predictor_of(run, who, exits=True)
    return lambda batch, tick: predict(batch.columns, tick)


def predict_texts(folder: Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Predict texts with a run's student; fields of a pair are separated by a tab.

    Raises:
        InputError: there is no text, or one that is empty, has other fields, or is no UTF-8.
    """
    run = open_run(folder)
    if broken := [text for text in texts if not is_unicode(text)]:
        raise InputError(
            Problem("TEXT", "text in UTF-8", repr(broken[0]), "convert it, or set LANG to C.UTF-8")
        )
    rows = [text.split("\t") if len(run.task.fields) > 1 else [text] for text in texts]
    count = len(run.task.fields)
    wrong = [repr(text) for row, text in zip(rows, texts, strict=True) if len(row) != count]
    # As in pools: one field of a pair may be empty.
    wrong += [
        f"text {n} of {len(rows)} is empty"
        for n, row in enumerate(rows, start=1)
        if not any(map(text_key, row))
    ]
    if wrong or not rows:
        fields = ", ".join(run.task.fields)
        expected = f"the {count} fields {fields} in this order, a tab in between, not all empty"
        if count == 1:
            expected = "texts that are not empty"
        found = wrong[0] if wrong else "no text at all"
        raise InputError(Problem("TEXT", expected, found, "quote each text, or leave it out"))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(run.task.fields)}
    probabilities = student_predictor(run)(columns, no_tick).probabilities
    if run.task.several:
        return _sets_of_texts(run, texts, probabilities)
    return [
        {
            "text": text,
            "label": run.task.labels[int(row.argmax())],
            "confidence": round(float(row.max()), 4),
            "abstain": bool(row.max() < run.config.abstain_below),
            "probabilities": dict(zip(run.task.labels, np.round(row, 4).tolist(), strict=True)),
            **of_tree,
        }
        for text, row, of_tree in zip(
            texts, probabilities, _in_tree(run, probabilities), strict=True
        )
    ]


def _in_tree(run: FinishedRun, probabilities: NDArray[np.floating]) -> list[dict[str, Any]]:
    """Describe how far down a tree of labels each text is sure; nothing where there is none."""
    tree = LabelTree.of(run.task.labels, run.task.label_separator)
    if tree is None:
        return [{}] * len(probabilities)
    columns = tree_columns(tree, probabilities, run.config.abstain_below)
    names, of_column = list(columns), [own.to_pylist() for own in columns.values()]
    return [dict(zip(names, row, strict=True)) for row in zip(*of_column, strict=True)]


def _sets_of_texts(
    run: FinishedRun, texts: Sequence[str], probabilities: NDArray[np.floating]
) -> list[dict[str, Any]]:
    """Describe predictions of several labels a text; `abstain` names labels that are in doubt."""
    chosen, names = run.outcome.choose(probabilities), run.task.labels
    confidence = run.outcome.confidence(probabilities, chosen)
    unsure = certainty(probabilities, chosen) < run.config.abstain_below
    rounded = np.round(probabilities, 4).tolist()
    return [
        {
            "text": text,
            "labels": [names[place] for place in np.flatnonzero(chosen[row])],
            "confidence": round(float(confidence[row]), 4),
            "abstain": [names[place] for place in np.flatnonzero(unsure[row])],
            "probabilities": dict(zip(names, rounded[row], strict=True)),
        }
        for row, text in enumerate(texts)
    ]


def _learned_from(run: FinishedRun, table: LabeledSet) -> list[str]:
    """Warn of rows that the run was trained on, as far as its labeled set is still there."""
    config = run.config
    if config.labeled is None:
        return []
    try:
        labeled = labeled_of(config, run.task, config.labeled)
    except PetError:
        return []
    leaked = count_leaks(run.task, labeled, table)
    return [f"{leaked} of these texts are in the labeled set: a leak"] if leaked else []


def evaluate_run(
    folder: Path,
    test: str,
    who: str,
    observer: Observer,
    *,
    label_column: str | None = None,
    text_column: str | None = None,
    csv: CsvConfig | None = None,
) -> dict[str, Any]:
    """Evaluate a run on labeled texts: accuracy, macro-F1, ECE, confusion matrix."""
    run = open_run(folder)
    config = run.config
    predict = predictor_of(run, who)
    table = labeled_of(
        config, run.task, test, label_column=label_column, text_column=text_column, csv=csv
    )
    with observer.stage(f"the {who} on {Path(test).name}", len(table), "rows") as tick:
        predicted = predict(table.columns, tick)
    outcome, probabilities = outcome_by(run, who), predicted.probabilities
    found = outcome.evaluated(probabilities, table.labels, config.abstain_below)
    detail = "by_label" if outcome.several else "confusion"
    tree = LabelTree.of(run.task.labels, run.task.label_separator)
    of_rows = table.labels, config.abstain_below
    return {
        "with": who,
        **outcome.metrics(probabilities, table.labels),
        "abstaining": found["abstaining"],
        "coverage": found["coverage"],
        "mean_entropy": round(float(outcome.entropy(probabilities).mean()), 4),
        "labels": list(run.task.labels),
        detail: found[detail],
        **({} if tree is None else {"levels": tree.measured(probabilities, *of_rows)}),
        "warnings": [*_learned_from(run, table), *table.warnings],
    }
