"""What can be done with a finished run: label other pools, predict, evaluate, look it up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.compilation import plain_encoder
from pet.config import RunConfig, load_config
from pet.data import PoolBatch, open_pool
from pet.ensembling import agreement, combine, entropy, softmax
from pet.errors import InputError, Problem
from pet.evaluation import confusion_matrix, metrics
from pet.labeled import read_labeled
from pet.labeling import Predictions, count_labels, refuse_other_labels, write_labels
from pet.loading import choose_device
from pet.members import Member, load_member
from pet.models import Classifier
from pet.progress import Observer, Tick, no_tick
from pet.runs import DONE, fingerprint, finished, locked, read_json, sweep
from pet.scoring import Columns, score_columns
from pet.tables import content_digest
from pet.tasks import Task, parse_task


@dataclass(frozen=True)
class FinishedRun:
    """A run folder that holds a student."""

    folder: Path
    config: RunConfig
    task: Task

    def fingerprint_of(self, unit: str) -> str:
        return str((read_json(self.folder / unit / DONE) or {}).get("fingerprint"))


def open_run(folder: Path) -> FinishedRun:
    """Open a finished run.

    Raises:
        InputError: the folder is no run, or its student is not made yet.
    """
    config = load_config(folder / "config.json")
    path = folder / "task.toml"
    record = read_json(folder / "student" / DONE)
    if record is not None:
        is_whole, reason = finished(folder / "student", str(record.get("fingerprint")))
        if not is_whole:
            raise InputError(
                Problem(str(folder / "student"), "the student as it was made", reason,
                        "give the run's `pet run` command again: it is made anew")
            )  # fmt: skip
    # The report is written last, and taken away when new inputs come into the folder.
    if record is None or not path.exists() or not (folder / "report.json").exists():
        raise InputError(
            Problem(str(folder), "a finished run, with a student", "a run that has not ended",
                    "give its `pet run` command again: it goes on where it was")
        )  # fmt: skip
    return FinishedRun(folder, config, parse_task(path.read_text(encoding="utf-8"), str(path)))


Voice = Callable[[Columns, Tick], Predictions]


def student_voice(run: FinishedRun) -> Voice:
    """Load the student; return the function that asks it."""
    model = Classifier.load(str(run.folder / "student"), choose_device(run.config.device))
    encoder = plain_encoder(model.tokenizer, run.task.fields, run.config.max_length)

    def say(columns: Columns, tick: Tick) -> Predictions:
        probabilities = softmax(
            score_columns(model, encoder, columns, run.config.tokens_per_batch, tick)
        )
        return Predictions(probabilities, np.full(len(probabilities), np.nan))

    return say


def ensemble_voice(run: FinishedRun) -> Voice:
    """Load the last generation's members, one after another for each batch of rows."""
    record = read_json(run.folder / "soft_labels" / DONE)
    if record is None:
        raise InputError(
            Problem(str(run.folder / "soft_labels"), "the record of an ensemble", f"no {DONE}",
                    "give the run's `pet run` command again")
        )  # fmt: skip
    weights: dict[str, float] = record["weights"]
    members = [_parse_member(name) for name in weights]

    def say(columns: Columns, tick: Tick) -> Predictions:
        stack = []
        for place, member in enumerate(members):
            model, encoder = load_member(run.config, run.task, run.folder, member)
            last = place == len(members) - 1
            stack.append(
                score_columns(
                    model,
                    encoder,
                    columns,
                    run.config.tokens_per_batch,
                    tick if last else no_tick,
                )
            )
        logits = np.stack(stack)
        probabilities = softmax(combine(logits, list(weights.values())))
        return Predictions(probabilities, agreement(logits, probabilities.argmax(axis=-1)))

    return say


def _parse_member(name: str) -> Member:
    generation, _, rest = name.partition("-")
    if generation == "untrained":
        return Member(rest, generation=None)
    pattern, _, repetition = rest.rpartition("-")
    return Member(pattern, int(repetition[1:]), int(generation[1:]))


def _voice(run: FinishedRun, who: str) -> Voice:
    if who not in ("student", "ensemble"):
        raise InputError(
            Problem("--with", "student or ensemble", repr(who), "leave it out for the student")
        )
    return student_voice(run) if who == "student" else ensemble_voice(run)


def label_new_pool(
    folder: Path, pool_path: str, out: Path, who: str, text_column: str | None, observer: Observer
) -> tuple[int, int, dict[str, Any]]:
    """Label a pool with a finished run; return shards written, shards reused, and the counts."""
    run = open_run(folder)
    voice = _voice(run, who)
    columns = _columns(run, text_column)
    pool = open_pool(pool_path, run.task.fields, columns=columns, id_column=run.config.id_column)
    model = fingerprint(
        model=run.fingerprint_of("student" if who == "student" else "soft_labels"),
        who=who, pool=content_digest(pool.files), columns=columns,
        max_length=run.config.max_length,
    )  # fmt: skip

    def say(batch: PoolBatch, tick: Tick) -> Predictions:
        return voice(batch.columns, tick)

    refuse_other_labels(out, model)
    with locked(out, observer.say):
        sweep(out)
        written, reused = write_labels(
            pool, out, run.task.labels, say, model=model, shard_rows=run.config.shard_rows,
            abstain_below=run.config.abstain_below, keep_columns=run.config.keep_columns,
            metadata={"task": run.task.name, "run": folder.name, "labeled_with": who},
            observer=observer,
        )  # fmt: skip
    counts = count_labels(out, run.task.labels)
    counts["rejected"] = pool.count_rows() - counts["rows"]
    return written, reused, counts


def _columns(run: FinishedRun, text_column: str | None) -> dict[str, str] | None:
    column = text_column or run.config.text_column
    return {run.task.fields[0]: column} if column and len(run.task.fields) == 1 else None


def predict_texts(folder: Path, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Ask a run's student about texts; fields of a pair are parted by a tab."""
    run = open_run(folder)
    rows = [text.split("\t") if len(run.task.fields) > 1 else [text] for text in texts]
    wrong = [
        text for row, text in zip(rows, texts, strict=True) if len(row) != len(run.task.fields)
    ]
    if wrong or not rows or any(not field.strip() for row in rows for field in row):
        raise InputError(
            Problem("TEXT", f"{len(run.task.fields)} fields a text, parted by tabs, none empty",
                    repr(wrong[0]) if wrong else "an empty text", "quote each text")
        )  # fmt: skip
    columns = {name: [row[i] for row in rows] for i, name in enumerate(run.task.fields)}
    probabilities = student_voice(run)(columns, no_tick).probabilities
    return [
        {
            "text": text,
            "label": run.task.labels[int(row.argmax())],
            "confidence": round(float(row.max()), 4),
            "abstain": bool(row.max() < run.config.abstain_below),
            "probabilities": dict(zip(run.task.labels, np.round(row, 4).tolist(), strict=True)),
        }
        for text, row in zip(texts, probabilities, strict=True)
    ]


def evaluate_run(
    folder: Path, test: str, who: str, observer: Observer, *,
    label_column: str | None = None, text_column: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure a run on labeled texts: accuracy, macro-F1, ECE, confusion matrix."""
    run = open_run(folder)
    config = run.config
    voice = _voice(run, who)
    table = read_labeled(
        test, run.task.fields, run.task.labels, label_column=label_column or config.label_column,
        columns=_columns(run, text_column),
        id_column=config.id_column, max_rejected=config.max_rejected,
    )  # fmt: skip
    with observer.stage(f"the {who} on {Path(test).name}", len(table), "rows") as tick:
        probabilities = voice(table.columns, tick).probabilities
    counts: NDArray[np.int64] = confusion_matrix(
        table.labels, probabilities.argmax(axis=1), len(run.task.labels)
    )
    return {
        "with": who,
        **metrics(probabilities, table.labels),
        "mean_entropy": round(float(entropy(probabilities).mean()), 4),
        "labels": list(run.task.labels),
        "confusion": counts.tolist(),
        "warnings": list(table.warnings),
    }


def list_runs(under: Path) -> list[dict[str, Any]]:
    """Say of every run in a folder what it is and how far it is."""
    rows = []
    for path in sorted(under.glob("*/config.json")):
        config = read_json(path) or {}
        report = read_json(path.parent / "report.json") or {}
        rows.append(
            {
                "run": path.parent.name,
                "task": report.get("task", config.get("task")),
                "state": "finished" if report else "not finished",
                "pool_rows": report.get("pool", {}).get("rows"),
                "student_accuracy": report.get("test", {}).get("student", {}).get("accuracy"),
            }
        )
    return rows


def show_run(folder: Path) -> dict[str, Any]:
    """Return a run's settings, manifest and report.

    Raises:
        InputError: the folder is no run.
    """
    config = load_config(folder / "config.json")
    return {
        "run": folder.name,
        "settings": config.model_dump(mode="json"),
        "manifest": read_json(folder / "manifest.json"),
        "report": read_json(folder / "report.json"),
    }
