"""Each label's share of a pool, with intervals that allow for the model's errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pet.certifying.certificates import mark_answers, take_answers_to
from pet.certifying.drawing import hand_out, levels_of, refuse_more_than, seed_of, uniform_rows
from pet.certifying.identity import Known, label_batches
from pet.certifying.ledger import SHARES, RecordedDraw
from pet.config import CsvConfig
from pet.errors import InputError, Problem
from pet.finished.finished_run import FinishedRun, open_run
from pet.method.draw_plans import Plan
from pet.method.share_intervals import estimate_shares
from pet.progress import Observer
from pet.reviewing.answer_form import AnswerForm, has_labels
from pet.storage.locks import locked

FEWEST = 20  # rows: fewer say next to nothing


def draw_for_shares(folder: Path, out: Path, answers: int, observer: Observer) -> RecordedDraw:
    """Draw rows uniformly from all labels of a run, record the draw, and write them for people.

    Raises:
        InputError: too few rows, or as of `pet.certifying.drawing.draw_rows`.
    """
    if answers < FEWEST:
        expected = f"at least {FEWEST}"
        raise InputError(Problem("--answers", expected, str(answers), "for example --answers 200"))

    def make(run: FinishedRun, known: Known, draws: list[RecordedDraw]) -> dict[str, Any]:
        levels = levels_of(run, known)
        pool_rows = int(levels.rows[-1])
        refuse_more_than(pool_rows, answers)
        seed = seed_of(known.identity, SHARES, len(draws) + 1)
        everything = Plan(-1, len(levels.rows) - 1, (0, answers), ())
        with observer.stage("drawing rows", pool_rows, "rows") as tick:
            rows = uniform_rows(run, levels, everything, seed, tick)
        return {"seed": seed, "pool_rows": pool_rows, "drawn": rows}

    return hand_out(folder, out, SHARES, {"answers": answers}, make, observer)


def estimate(
    folder: Path,
    answers: Path,
    observer: Observer,
    confidence: float = 0.95,
    csv: CsvConfig = CsvConfig(),  # noqa: B008
) -> dict[str, Any]:
    """Take the answers to the latest draw, and estimate the shares of labels.

    Returns:
        `rows` of the pool, `drawn`, `confidence`, and per label under `shares`: `predicted` (the
        share of rows that the model gives the label), `estimate`, `low` and `high`.

    Raises:
        InputError: rows without an answer, or as of `take_certificate`.
    """
    if not 0.5 < confidence < 1:
        expected = "more than 0.5 and less than 1"
        raise InputError(Problem("--confidence", expected, f"{confidence:g}", "0.95 is 95 %"))
    run = open_run(folder)
    with locked(run.folder, observer.note):
        draw, _ = take_answers_to(run, SHARES, answers, csv, observer)
        mark_answers(run, draw.record["identity"])
    rows, asked, labels = draw.record["drawn"], draw.record["asked"], run.task.labels
    given = [draw.answers.get(asked[row["id"]]) for row in rows]
    if lost := sum(not answer for answer in given):
        raise InputError(
            Problem(
                str(answers),
                "an answer for every drawn row",
                f"none for {lost:,} of {len(rows):,}; the others are kept",
                "label these too: shares of the rows that are easy are not those of the pool",
            )
        )
    truth = has_labels(given, AnswerForm.of(run.task)).astype(float)
    claims = np.array([[row["probabilities"][label] for label in labels] for row in rows])
    mean, predicted = _of_pool(run)
    found = estimate_shares(truth, claims, mean, draw.record["pool_rows"], confidence)
    shares = {
        label: {
            "predicted": round(float(predicted[place]), 6),
            "estimate": round(float(found.estimate[place]), 6),
            "low": round(float(found.low[place]), 6),
            "high": round(float(found.high[place]), 6),
        }
        for place, label in enumerate(labels)
    }
    size = draw.record["pool_rows"]
    return {"rows": size, "drawn": len(rows), "confidence": confidence, "shares": shares}


def _of_pool(run: FinishedRun) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return mean probabilities and shares of predicted labels. [labels] each"""
    labels, form = run.task.labels, AnswerForm.of(run.task)
    sums, counts, rows = np.zeros(len(labels)), np.zeros(len(labels)), 0
    for batch in label_batches(run, "probabilities"):
        struct = batch.column("probabilities")
        predicted = has_labels(batch.column("label").to_pylist(), form)
        sums += [struct.field(label).to_numpy().sum(dtype=float) for label in labels]
        counts += predicted.sum(axis=0)
        rows += len(batch)
    return sums / rows, counts / rows
