"""Answers to a draw in, and what they prove of the labels out."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pet.certifying.drawing import asked_texts, known_errors
from pet.certifying.identity import digest_of, look_at
from pet.certifying.ledger import (
    FOLDER,
    SHARES,
    RecordedDraw,
    add_answers,
    answers_of,
    read_draws,
)
from pet.certifying.marking import mark_card, mark_labels
from pet.config import CsvConfig
from pet.errors import InputError, PetError, Problem
from pet.finished.finished_run import FinishedRun, open_run
from pet.inputs.run_tables import csv_format
from pet.method.certification import Draw, fixed_sequence, rows_needed, wrong_allowed
from pet.method.draw_plans import error_curves, expected_rows
from pet.progress import Observer
from pet.reporting.certificate_file import CERTIFICATE, labels_made_from, read_certificate, sentence
from pet.reporting.report_page import write_page
from pet.reviewing.annotations import read_annotations
from pet.reviewing.answer_form import AnswerForm, has_labels
from pet.reviewing.reviewed import answer_problems
from pet.storage.files import write_json
from pet.storage.locks import locked

LARGER = (1, 2, 4)  # budgets, to the one that was used, of which the outcome is foretold


def take_certificate(
    folder: Path,
    answers: Path,
    observer: Observer,
    csv: CsvConfig = CsvConfig(),  # noqa: B008
) -> dict[str, Any]:
    """Take the answers to a run's latest draw; return the certificate.

    `certificate.json` is written if any label is certified, and no earlier draw certifies more of
    the same: then its sentence is under `stands`. The answers are in `labels/` from then on. More
    answers to the same draw may come later; those that are in stay as they are.

    Raises:
        InputError: no draw, wrong answers, or labels, model or pool that are others by now.
    """
    run = open_run(folder)
    with locked(run.folder, observer.note):
        draw, draws = take_answers_to(run, FOLDER, answers, csv, observer)
        certificate = certify(run, draw, draws)
        stored = read_certificate(run.folder)
        if stored is not None and _but_date(stored) == _but_date(certificate):
            certificate = stored
        if stored is not None and _certifies_more(stored, certificate):
            certificate["stands"] = sentence(stored)
        elif certificate["threshold"] is not None:
            write_json(run.folder / CERTIFICATE, certificate)
            mark_card(run, certificate)
            write_page(run.folder)
        mark_answers(run, draw.record["identity"])
    return certificate


def _certifies_more(stored: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether an earlier draw certifies more of the same: both hold."""
    same = ("guarantee", "error", "confidence", "identity", "labels")
    alike = all(stored.get(name) == new[name] for name in same)
    return alike and stored["certified_rows"] > new["certified_rows"]


def _but_date(certificate: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in certificate.items() if name != "date"}


def mark_answers(run: FinishedRun, identity: Mapping[str, str]) -> None:
    """Put all answers to draws of a run's labels into these, and their certificate.

    Args:
        identity: of the present labels.
    """
    draws = [*read_draws(run.folder, SHARES), *read_draws(run.folder)]
    present = [draw for draw in draws if draw.record["identity"] == identity]
    certificate = read_certificate(run.folder)
    if certificate is not None and certificate.get("identity") != identity:
        certificate = None
    mark_labels(run, certificate, answers_of(present))


def take_answers_to(
    run: FinishedRun, ledger: str, answers: Path, csv: CsvConfig, observer: Observer
) -> tuple[RecordedDraw, list[RecordedDraw]]:
    """Take answers to the latest draw of a ledger; return it, and all draws.

    Raises:
        InputError: as of `take_certificate`.
    """
    draws = read_draws(run.folder, ledger)
    if not draws:
        raise InputError(
            Problem(
                str(run.folder),
                "a draw, recorded before its answers",
                "none",
                "draw with --answers 200 --out review.csv, and let people fill it in",
            )
        )
    draw = draws[-1]
    refuse_void(run, draw.record)
    texts = asked_texts(run, draw.record, observer)
    given = _read(run, draws, answers, csv, texts)
    draw = add_answers(draw, given)
    return draw, [*draws[:-1], draw]


def refuse_void(run: FinishedRun, record: Mapping[str, Any]) -> None:
    """Refuse a draw, or a certificate, of labels, a model or a pool that are others by now.

    Raises:
        InputError: one of them is another.
    """
    now = look_at(run).identity
    changed = [name for name, digest in record["identity"].items() if now[name] != digest]
    if changed:
        raise InputError(
            Problem(
                str(run.folder),
                "the labels, the model and the pool that were drawn from",
                f"{_others(changed)}: what was drawn and certified is void",
                "draw anew with `pet certify RUN --answers ...`: the answers to the old draw "
                "prove nothing of a model that may have learned from them",
            )
        )


def void_since(folder: Path, certificate: Mapping[str, Any]) -> str:
    """Say what a run's certificate is no longer about; nothing where it holds.

    The labels are read. Whether the pool's files are still the same, only a draw looks.
    """
    if not any((folder / "labels").glob("part-*.parquet")):
        return ""  # a run in a bucket, of which labels are not fetched to be shown
    try:
        now = look_at(open_run(folder)).identity
    except PetError as error:
        return str(error).splitlines()[0]
    certified = certificate.get("identity") or {}
    changed = [name for name, digest in now.items() if certified.get(name) != digest]
    return f"{_others(changed)} since" if changed else ""


def _others(changed: Sequence[str]) -> str:
    names = ("other labels" if name == "labels" else f"another {name}" for name in changed)
    return " and ".join(names)


def _read(
    run: FinishedRun,
    draws: Sequence[RecordedDraw],
    answers: Path,
    csv: CsvConfig,
    texts: Mapping[str, Mapping[str, str]],
) -> dict[str, str]:
    """Read answers to the latest draw: id of a row that was asked -> label, where there is one."""
    form = AnswerForm.of(run.task)
    given = read_annotations(answers, run.task.fields, csv_format(csv, "--csv "), form)
    answered = [own for own in given if own.label]
    *earlier, asked = [set(draw.record["asked"].values()) for draw in draws]
    strange = {own.id for own in answered} - asked
    if of := [n for n, ids in enumerate(earlier, start=1) if strange and strange <= ids]:
        raise InputError(
            Problem(
                str(answers),
                f"answers to draw {len(draws)}, the latest",
                f"answers to draw {of[-1]}",
                "give the answers to the latest: each draw takes its own until the next is made",
            )
        )
    if problems := answer_problems(str(answers), answered, form, {id: texts[id] for id in asked}):
        raise InputError(problems)
    return {own.id: own.label for own in answered}


def certify(run: FinishedRun, draw: RecordedDraw, draws: Sequence[RecordedDraw]) -> dict[str, Any]:
    """Say what a draw and its answers prove; nothing is written."""
    record = draw.record
    request, rows = record["request"], np.array(record["rows"])
    pool_rows, alpha = record["pool_rows"], record["alpha"]
    precision = request["precision"]
    allowed = wrong_allowed(rows, pool_rows, request["error"], request["guarantee"])
    found = draw_of(draw)
    own_alpha = alpha if precision is None else alpha / 2
    level, p_values = fixed_sequence(
        found, rows, allowed, record["frame"]["border"], record["sequence"], own_alpha
    )
    kept = 0 if level is None else int(rows[level])
    answered = [row for row in record["drawn"] if draw.answers.get(record["asked"][row["id"]])]
    above = [row for row in answered if level is not None and row["level"] <= level]
    return {
        "guarantee": request["guarantee"],
        "error": request["error"],
        "confidence": request["confidence"],
        "threshold": None if level is None else record["thresholds"][level],
        "certified_rows": kept,
        "pool_rows": pool_rows,
        "to_read": pool_rows - kept - (len(answered) - len(above)),
        "drawn": len(record["drawn"]),
        "answered": len(answered),
        "wrong": sum(draw.answers[record["asked"][row["id"]]] != row["label"] for row in answered),
        "method": "fixed sequence of exact hypergeometric tests, two strata by confidence",
        "p_values": [float(f"{value:.4g}") for value in p_values],
        "draw_number": draw.number,
        "alpha": own_alpha,
        "alpha_spent": sum(own.record["alpha"] for own in draws),
        "labels": _of_labels(run, draw, found) if precision is not None else None,
        "expected": _expected(run, draw, draws),
        "identity": record["identity"],
        "made_from": labels_made_from(run.folder),
        "seed": record["seed"],
        "draw": record["digest"],
        "answers": digest_of(draw.answers),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def draw_of(draw: RecordedDraw) -> Draw:
    """Return a draw as it is tested: a row without an answer counts as wrong."""
    rows, asked = draw.record["drawn"], draw.record["asked"]
    wrong = [draw.answers.get(asked[row["id"]]) != row["label"] for row in rows]
    return Draw(np.array([row["level"] for row in rows]), np.array(wrong, bool))


def _expected(
    run: FinishedRun, draw: RecordedDraw, draws: Sequence[RecordedDraw]
) -> dict[str, int]:
    """Say how many rows a fresh draw of so many answers is expected to certify."""
    record = draw.record
    request, rows = record["request"], np.array(record["rows"])
    allowed = wrong_allowed(rows, record["pool_rows"], request["error"], request["guarantee"])
    curves = error_curves(
        np.clip(1 - np.array(record["thresholds"]), 0, 1),
        *known_errors(run, draws, record["identity"]),
    )
    answers = dict.fromkeys(min(times * request["answers"], int(rows[-1])) for times in LARGER)
    return {
        str(count): expected_rows(rows, curves, allowed, count, record["alpha"])
        for count in answers
    }


def _of_labels(run: FinishedRun, draw: RecordedDraw, found: Draw) -> dict[str, Any]:
    """Say of which labels the precision is certified, each from a threshold of its own.

    Every label has a fixed sequence of its own, at an equal part of half of the draw's alpha: all
    that is certified holds at once.
    """
    record = draw.record
    precision, labels = record["request"]["precision"], run.task.labels
    alpha = record["alpha"] / 2 / len(labels)
    form, drawn, asked = AnswerForm.of(run.task), record["drawn"], record["asked"]
    predicted = has_labels([row["label"] for row in drawn], form)
    answered = has_labels([draw.answers.get(asked[row["id"]]) for row in drawn], form)
    certified = {}
    for place, label in enumerate(labels):
        own = predicted[:, place]
        rows = np.array(record["label_rows"][label])
        allowed = wrong_allowed(rows, 0, 1 - precision, "kept")
        of_label = Draw(found.levels[own], ~answered[own, place])
        level, _ = fixed_sequence(
            of_label, rows, allowed, record["frame"]["border"], record["sequence"], alpha
        )
        if level is not None and not rows[level]:
            level = None  # nothing is wrong with no rows
        seen = (of_label.wrong.sum() + 0.5) / (own.sum() + 1)
        certified[label] = {
            "threshold": None if level is None else record["thresholds"][level],
            "rows": 0 if level is None else int(rows[level]),
            "drawn": int(own.sum()),
            "wrong": int(of_label.wrong.sum()),
            "needs": None if level is not None else rows_needed(seen, 1 - precision, alpha),
        }
    return certified
