"""Early exits of the student: heads below its last layer, and from when on rows leave by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pet.config import RunConfig
from pet.inputs.inputs import computation
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.session import Session
from pet.method.early_exit import ExitFigures, choose_threshold, exit_figures
from pet.method.linear_head import LinearHead, load_head
from pet.models.early_exit import EarlyExitClassifier, LayerStates
from pet.models.linear_probe import PENALTY
from pet.models.model import Classifier
from pet.models.scoring import Columns, score_columns
from pet.progress import Tick, no_tick
from pet.storage.files import read_record
from pet.storage.units import DONE, Unit, fingerprint, make_unit
from pet.student.soft_labels import read_targets
from pet.student.student_folder import Student, load_student, student_outcome
from pet.tasks.encoding import Encoder
from pet.tasks.task import Task

EXITS = "exits"  # in a run folder

FITTED = 2000  # pool rows that heads are fitted to, at most

# Pool rows by which the threshold is chosen, at most, and as a share of all. The student learns
# nothing from them: chosen by 1,500 rows that had taught it, 99.6 % of which kept their label, a
# threshold kept 98.3 % on other rows (MiniLM, newsgroups).
HELD_OUT, SHARE = 1000, 0.2

Array = NDArray[np.floating]


class States(NamedTuple):
    """What a student computes of some rows.

    Attributes:
        layers: states of the first token, of all layers but the last. [layers - 1, rows, width]
        scores: of its own head. [rows, labels]
    """

    layers: Array
    scores: Array


def fit_exits(session: Session, student: Unit, soft: Unit, out_of_fold: Unit | None) -> Unit:
    """Fit a head to each of the student's layers but the last, and choose the threshold.

    The student stays as it is. The heads learn the same soft labels from the same rows; the
    threshold is chosen by rows of the pool from which neither has learned.
    """
    config = session.config
    expected = fingerprint(
        unit="exits",
        student=student.fingerprint,
        soft_labels=soft.fingerprint,
        seed=session.seed("exits"),
        measured=session.digests.get("test"),
        rows=[FITTED, HELD_OUT, SHARE],
        **({} if out_of_fold is None else {"out_of_fold": out_of_fold.fingerprint}),
        **computation(config, config.student_length),
    )

    def build(folder: Path) -> dict[str, Any]:
        targets = read_targets(session, out_of_fold).soft_labels
        columns = unlabeled_rows(session).columns
        held_out = held_out_rows(session)
        others = np.setdiff1d(np.flatnonzero(unlabeled_rows(session).trainable), held_out)
        rng = np.random.default_rng(session.seed("exits", "fitted"))
        fitted = rng.permutation(others)[:FITTED]
        loaded = load_student(config, session.task, session.folder / student.path)
        model, encoder = loaded.classifier, loaded.encoder()
        with session.observer.stage(
            "fitting early exits", len(fitted) + len(held_out), "rows"
        ) as tick:

            def states(some: NDArray[np.int64]) -> States:
                return states_of(model, encoder, _rows_of(columns, some), config, tick)

            heads = [
                session.outcome.fit_head(own, targets[fitted], PENALTY).divided(
                    1 / config.temperature
                )
                for own in states(fitted).layers
            ]
            found = _compared(session, heads, states(held_out))
        threshold = choose_threshold(*found)
        for number, head in enumerate(heads, 1):
            (folder / f"layer-{number}").mkdir()
            head.save(folder / f"layer-{number}")
        chosen = exit_figures(*found, threshold)
        record = {"threshold": threshold, "held_out": _described(chosen, held_out)}
        if session.test is not None:
            own = states_of(model, encoder, session.test.columns, config)
            compared = exit_figures(*_compared(session, heads, own), threshold)
            record["test"] = _described(compared, session.test.labels)
        return record

    return make_unit(session.folder / EXITS, expected, build)


def held_out_rows(session: Session) -> NDArray[np.int64]:
    """Choose pool rows from which the student is not to learn; none where it has no exits."""
    if not session.config.student.exits:
        return np.zeros(0, np.int64)
    rows = np.flatnonzero(unlabeled_rows(session).trainable)
    rng = np.random.default_rng(session.seed("exits"))
    return np.sort(rng.permutation(rows)[: min(HELD_OUT, int(SHARE * len(rows)))])


def states_of(
    model: Classifier,
    encoder: Encoder,
    columns: Columns,
    config: RunConfig,
    tick: Tick = no_tick,
) -> States:
    """Ask a student for the states of its layers."""
    found = score_columns(LayerStates.of(model), encoder, columns, config.tokens_per_batch, tick)
    labels = model.output_width(encoder)
    layers = found[:, :-labels]
    width = int(model.module.config.hidden_size)
    return States(layers.reshape(len(found), -1, width).swapaxes(0, 1), found[:, -labels:])


def _compared(
    session: Session, heads: list[LinearHead], states: States
) -> tuple[Array, NDArray[np.bool_]]:
    """Return how sure heads are, and whether they agree with the last. [exits, rows] each"""
    outcome, decided = session.outcome, student_outcome(session)
    scores = [head.logits(own) for head, own in zip(heads, states.layers, strict=True)]
    last, *found = (
        outcome.probabilities(own.astype(np.float64)) for own in (states.scores, *scores)
    )
    sure = np.stack([outcome.confidence(own, outcome.choose(own)) for own in found])
    alike = np.stack([decided.choose(own) == decided.choose(last) for own in found])
    return sure, np.asarray(alike.all(axis=-1) if outcome.several else alike)


def _described(found: ExitFigures, rows: NDArray[Any]) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "agreement": round(found.agreement, 4),
        "layers": [round(share, 4) for share in found.layers],
    }


def _rows_of(columns: Columns, rows: NDArray[np.int64]) -> dict[str, list[str]]:
    return {name: [texts[row] for row in rows] for name, texts in columns.items()}


def load_labeler(
    config: RunConfig, task: Task, run: Path, thresholds: tuple[float, ...] = ()
) -> Student:
    """Load the student of a run as it labels a pool: with its early exits, if it has any."""
    student = load_student(config, task, run / "student", thresholds)
    if not config.student.exits:
        return student
    threshold = float(read_record(run / EXITS / DONE)["threshold"])
    folders = sorted((run / EXITS).glob("layer-*"), key=lambda own: int(own.name.split("-")[1]))
    heads = [load_head(own) for own in folders]
    return replace(student, model=EarlyExitClassifier(student.classifier, heads, threshold))


def scores_and_layers(
    student: Student, columns: Columns, tick: Tick
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Score texts; return the layer that gave each row's scores, too, of a student with exits.

    Returns:
        [rows, labels], [rows]
    """
    found = student.logits(columns, tick)
    if isinstance(student.model, EarlyExitClassifier):
        return found[:, :-1], found[:, -1].astype(np.int64)
    return found, None
