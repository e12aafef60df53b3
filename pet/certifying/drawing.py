"""A draw: planned from what the model claims, recorded, and written as rows for people."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

import pet
from pet.certifying.identity import (
    BINS,
    Known,
    confidences,
    digest_of,
    label_batches,
    level_bins,
    look_at,
)
from pet.certifying.ledger import FOLDER, RecordedDraw, add_draw, read_draws
from pet.errors import InputError, Problem
from pet.finished.finished_run import FinishedRun, open_run
from pet.method.certification import Guarantee, alpha_share, fewest_draws, wrong_allowed
from pet.method.draw_plans import Plan, error_curves, plan_draw
from pet.progress import Observer
from pet.reporting.report_file import read_report
from pet.reviewing.annotation_files import ReviewRow, ReviewTask, format_of, taken_name, write_rows
from pet.reviewing.answer_form import AnswerForm, has_labels
from pet.reviewing.review_rows import texts_of_ids
from pet.storage.files import sweep
from pet.storage.locks import locked

LEVELS = 400  # thresholds that a plan is made of, evenly spaced by rows


@dataclass(frozen=True)
class Request:
    """What is to be certified.

    Attributes:
        guarantee: "kept": of the labels at or above the threshold; "whole": of all rows, when the
            others are read by people.
        error: the share of wrong labels that is certified not to be exceeded.
        confidence: 1 - alpha.
        answers: rows to draw.
        precision: to be certified for each label as well; None: not asked.
    """

    guarantee: Guarantee = "kept"
    error: float = 0.05
    confidence: float = 0.95
    answers: int = 200
    precision: float | None = None

    @property
    def alpha(self) -> float:
        return 1 - self.confidence


def check_request(request: Request, draw: int) -> None:
    """Refuse what cannot be certified by the draw of this number.

    Raises:
        InputError: all that is wrong.
    """
    problems = []
    if request.guarantee not in get_args(Guarantee):
        problems.append(
            Problem(
                "--guarantee", "kept or whole", repr(request.guarantee), "leave it out for kept"
            )
        )
    shares = {"--error": (request.error, 0, 0.5), "--confidence": (request.confidence, 0.5, 1)}
    if request.precision is not None:
        shares["--precision"] = (request.precision, 0.5, 1)
    for name, (value, low, high) in shares.items():
        if not low < value < high:
            expected = f"more than {low:g} and less than {high:g}"
            example = "0.05 is 5 %" if name == "--error" else "0.95 is 95 %"
            problems.append(Problem(name, expected, f"{value:g}", f"a share: {example}"))
    if not problems:
        alpha = alpha_share(request.alpha, draw)
        least = fewest_draws(request.error, alpha)
        if request.answers < least:
            found = f"{request.answers}, in draw {draw}, which may spend an alpha of {alpha:.4g}"
            problems.append(
                Problem(
                    "--answers",
                    f"at least {least:,}: fewer prove nothing, even if all of them are right",
                    found,
                    "draw more rows, or certify a larger --error",
                )
            )
    if problems:
        raise InputError(problems)


def refuse_more_than(rows: int, answers: int) -> None:
    """Refuse to draw more rows than there are.

    Raises:
        InputError: there are fewer.
    """
    if answers > rows:
        expected = f"at most {rows:,}, the labels of the run"
        raise InputError(Problem("--answers", expected, f"{answers:,}", "draw fewer rows"))


@dataclass(frozen=True)
class Levels:
    """Thresholds of confidence from the surest down, and the rows at or above each. [levels]"""

    thresholds: NDArray[np.float64]
    rows: NDArray[np.int64]


def levels_of(run: FinishedRun, known: Known) -> Levels:
    """Return the thresholds that a run's confidences allow."""
    above = np.cumsum(known.counts[::-1])
    filled = np.flatnonzero(known.counts[::-1])
    rows = above[filled]
    if not len(rows):
        raise InputError(
            Problem(str(run.folder / "labels"), "labels", "none", "label a pool that has rows")
        )
    wanted = np.linspace(1, rows[-1], LEVELS)
    places = np.unique(np.searchsorted(rows, wanted))
    return Levels((BINS - filled[places]) / BINS, rows[places])


def draw_rows(folder: Path, out: Path, request: Request, observer: Observer) -> RecordedDraw:
    """Draw rows of a finished run, record the draw, and write them for people.

    The seed is made of the digests of labels, model and pool and of the draw's number: another
    model has another draw, and a draw whose record was removed comes out the same.

    Raises:
        InputError: the run is not finished, nothing can be certified, a draw's record is missing,
            the pool is another one by now, or a file is at `out`.
    """

    def make(run: FinishedRun, known: Known, draws: list[RecordedDraw]) -> dict[str, Any]:
        check_request(request, len(draws) + 1)
        if draws and not draws[-1].answers and draws[-1].record["identity"] == known.identity:
            observer.note(
                f"warning: draw {draws[-1].number} has no answers, and none can be given to it "
                "from now on: answers are taken to the latest draw, and each draw spends of alpha"
            )
        return _drawn(run, request, known, draws, observer)

    return hand_out(folder, out, FOLDER, dict(vars(request)), make, observer)


MakeRecord = Callable[[FinishedRun, Known, list[RecordedDraw]], dict[str, Any]]


def hand_out(
    folder: Path,
    out: Path,
    ledger: str,
    request: Mapping[str, Any],
    make: MakeRecord,
    observer: Observer,
) -> RecordedDraw:
    """Record a draw in a ledger of a run, and write its rows for people.

    What was asked for before of the same labels, model and pool is written again.

    Args:
        make: draws, given the run, what its labels are and the draws that there are.

    Raises:
        InputError: as of `draw_rows`.
    """
    format = format_of(out, None)
    sweep(out.parent, below=False)
    if out.exists():
        raise taken_name(out)
    run = open_run(folder)
    with locked(run.folder, observer.note):
        draws = read_draws(run.folder, ledger)
        known = look_at(run)
        identity = known.identity
        draw = next((own for own in draws if _is_same(own, request, identity)), None)
        if draw is None:
            record = {
                "request": dict(request),
                "identity": identity,
                **({"labels_per_text": "any"} if run.task.several else {}),
                **make(run, known, draws),
                "made_with": f"pet {pet.__version__}",
                "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            }
            texts = asked_texts(run, record, observer)
            draw = add_draw(run.folder, draws, {**record, **_asked(record, texts)}, ledger)
        else:
            texts = asked_texts(run, draw.record, observer)
    own = run.task
    task = ReviewTask(own.description, own.fields, own.labels, folder.name, own.several)
    asked = list(dict.fromkeys(draw.record["asked"].values()))
    why = f"drawn at random: draw {draw.number} of {folder.name}"
    rows = [ReviewRow(id, texts[id], "", 0.0, {}, why) for id in asked if id not in draw.answers]
    write_rows(out, format, rows, task)
    return draw


def _is_same(draw: RecordedDraw, request: Mapping[str, Any], identity: Mapping[str, str]) -> bool:
    return draw.record["request"] == request and draw.record["identity"] == identity


def _drawn(
    run: FinishedRun,
    request: Request,
    known: Known,
    draws: Sequence[RecordedDraw],
    observer: Observer,
) -> dict[str, Any]:
    """Plan a draw and draw its rows; return what is recorded."""
    number = len(draws) + 1
    alpha = alpha_share(request.alpha, number)
    levels = levels_of(run, known)
    pool_rows = int(levels.rows[-1])
    refuse_more_than(pool_rows, request.answers)
    allowed = wrong_allowed(levels.rows, pool_rows, request.error, request.guarantee)
    seen, wrong = known_errors(run, draws, known.identity)
    claims = np.clip(1 - levels.thresholds, 0, 1)
    curves = error_curves(claims, seen, wrong)
    tested = alpha if request.precision is None else alpha / 2
    plan = plan_draw(levels.rows, curves, allowed, request.answers, tested)
    if plan is None:
        raise InputError(
            Problem(
                str(run.folder),
                f"some rows of which at most {request.error:.0%} of the labels may be wrong",
                "none are expected, by what the model claims",
                "certify a larger --error, or train a better model",
            )
        )
    seed = seed_of(known.identity, FOLDER, number)
    with observer.stage("drawing rows", pool_rows, "rows") as tick:
        rows = uniform_rows(run, levels, plan, seed, tick)
    of_labels = {} if request.precision is None else {"label_rows": _label_rows(run, levels)}
    return {
        "alpha": alpha,
        "seed": seed,
        "pool_rows": pool_rows,
        "thresholds": levels.thresholds.tolist(),
        "rows": levels.rows.tolist(),
        "frame": {
            "threshold": levels.thresholds[plan.last],
            "rows": int(levels.rows[plan.last]),
            "border": plan.border,
            "last": plan.last,
            "draws": list(plan.draws),
        },
        "sequence": list(plan.sequence),
        "planned_with": len(seen),
        **of_labels,
        "drawn": rows,
    }


def seed_of(identity: Mapping[str, str], ledger: str, number: int) -> int:
    """Make the seed of a draw: nobody chooses it, and another model has another."""
    return int(digest_of([identity, ledger, number])[:16], 16)


def known_errors(
    run: FinishedRun, draws: Sequence[RecordedDraw], identity: Mapping[str, str]
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Return what is known of the model's errors, to plan by: test rows, and earlier answers.

    Returns:
        1 - confidence, and whether the label is wrong. [known]
    """
    claims, wrong = list[float](), list[bool]()
    report, _ = read_report(run.folder)
    if report.test is not None and not report.several:  # there, bins are of single answers
        for own in report.test.student.reliability:
            right = round(own.accuracy * own.rows)
            claims += [1 - own.confidence] * own.rows
            wrong += [False] * right + [True] * (own.rows - right)
    for draw in draws:
        if draw.record["identity"] == identity:
            for row in draw.record["drawn"]:
                if label := draw.answers.get(draw.record["asked"][row["id"]]):
                    claims.append(1 - row["confidence"])
                    wrong.append(label != row["label"])
    return np.array(claims, float), np.array(wrong, bool)


def uniform_rows(
    run: FinishedRun, levels: Levels, plan: Plan, seed: int, tick: Any
) -> list[dict[str, Any]]:
    """Draw the plan's numbers of rows, uniformly within each stratum.

    Each row of the pool has a random number, in the pool's order; the smallest of a stratum are
    drawn, and stand in the order of these numbers.
    """
    rng = np.random.default_rng(seed)
    kept: list[list[tuple[float, int, dict[str, Any]]]] = [[], []]
    first = 0
    for batch in label_batches(run, "probabilities"):
        random, values = rng.random(len(batch)), confidences(batch)
        level = _levels_of(values, levels)
        for stratum, wanted in enumerate(plan.draws):
            low, high = ((-1, plan.border), (plan.border, plan.last))[stratum]
            inside = np.flatnonzero((level > low) & (level <= high))
            nearest = inside[np.argsort(random[inside], kind="stable")][:wanted]
            for place in nearest.tolist():
                row = {
                    "id": batch.column("id")[place].as_py(),
                    "row": first + place,
                    "level": int(level[place]),
                    "label": batch.column("label")[place].as_py(),
                    "confidence": float(values[place]),
                    "probabilities": batch.column("probabilities")[place].as_py(),
                }
                kept[stratum].append((float(random[place]), first + place, row))
            kept[stratum] = sorted(kept[stratum], key=lambda own: own[:2])[:wanted]
        first += len(batch)
        tick(len(batch))
    together = sorted([*kept[0], *kept[1]], key=lambda own: own[:2])
    return [row for _, _, row in together]


def _label_rows(run: FinishedRun, levels: Levels) -> dict[str, list[int]]:
    """Count the rows of each predicted label at or above each level."""
    counts = {label: np.zeros(len(levels.rows) + 1, np.int64) for label in run.task.labels}
    form = AnswerForm.of(run.task)
    for batch in label_batches(run):
        predicted = has_labels(batch.column("label").to_pylist(), form)
        level = _levels_of(confidences(batch), levels)
        for place, own in enumerate(counts.values()):
            own += np.bincount(level[predicted[:, place]], minlength=len(own))
    return {label: np.cumsum(own[:-1]).tolist() for label, own in counts.items()}


def _levels_of(values: NDArray[np.float32], levels: Levels) -> NDArray[np.int64]:
    """Return the first level that each confidence is in. [rows]"""
    return np.searchsorted(-levels.thresholds, -(level_bins(values) / BINS), side="left")


def asked_texts(
    run: FinishedRun, record: Mapping[str, Any], observer: Observer
) -> dict[str, dict[str, str]]:
    """Look up the drawn rows' texts.

    Raises:
        InputError: the pool is another one by now, or the id of a drawn row is not its own.
    """
    ids = [row["id"] for row in record["drawn"]]
    texts = texts_of_ids(run, set(ids), observer)
    if lost := [id for id in ids if id not in texts] or len(ids) - len(set(ids)):
        raise InputError(
            Problem(
                run.config.pool,
                "an id of its own for every row",
                f"rows that share one ({lost if isinstance(lost, int) else ', '.join(lost[:3])})",
                "give each row an id of its own, or none (`--set id_column=...`), and run again",
            )
        )
    return texts


def _asked(record: Mapping[str, Any], texts: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Name, for every drawn row, the drawn row that people read: one for each distinct text."""
    first: dict[tuple[str, ...], str] = {}
    asked = {
        row["id"]: first.setdefault(tuple(texts[row["id"]].values()), row["id"])
        for row in record["drawn"]
    }
    return {"asked": asked}
