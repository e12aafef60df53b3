"""A task's rules in a run: where they fire, and what they add to the members' scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pet.ensemble.logits import logits_table, read_logits
from pet.inputs.pool_sample import texts_fingerprint, unlabeled_rows
from pet.inputs.session import Session, StoredRun
from pet.method.rule_reliability import (
    Agreement,
    Fires,
    added_log_odds,
    agreement_with,
    evidence,
    expected_precision,
)
from pet.storage.files import read_record, write_parquet
from pet.storage.units import DONE, Unit, fingerprint, make_unit
from pet.tasks.rules import rules_shape
from pet.tasks.task import Task

FIRES, PRECISIONS = "rules", "rule_precisions"  # folders of a run

Source = Literal["labeled", "test", "pool"]

Array = NDArray[np.floating]


def apply_rules(session: Session) -> Unit:
    """Write in which labeled, test and unlabeled rows each rule fires.

    Raises:
        InputError: a rule is slow.
    """
    rules, unlabeled = session.task.rules, unlabeled_rows(session)
    texts = {name: (own.ids, own.columns) for name, own in session.inputs.measured().items()}
    texts["pool"] = unlabeled.ids, unlabeled.columns
    expected = fingerprint(
        unit="rules",
        rules=rules_shape(rules),
        rows=texts_fingerprint(session),
        **{name: session.digests[name] for name in texts if name != "pool"},
    )

    def build(folder: Path) -> dict[str, Any]:
        rows = sum(len(ids) for ids, _ in texts.values())
        with session.observer.stage("applying rules", rows * len(rules), "texts") as tick:
            for name, (ids, columns) in texts.items():
                fires = np.zeros((len(ids), len(rules)), np.float32)
                for place, rule in enumerate(rules):
                    fires[:, place] = rule.fires(columns, ids)
                    tick(len(ids))
                write_parquet(folder / f"{name}.parquet", logits_table(ids, fires), {})
        return {"rules": [rule.name for rule in rules]}

    return make_unit(session.folder / FIRES, expected, build)


def rows_fired(run: StoredRun, source: Source) -> Fires:
    """Read in which rows of a set the rules fire. [rows, rules]"""
    return read_logits(run.folder / FIRES / f"{source}.parquet")[1] > 0


def labels_of_rules(task: Task) -> NDArray[np.int64]:
    """Return the label that each rule speaks for. [rules]"""
    return np.array([task.labels.index(rule.label) for rule in task.rules], dtype=np.int64)


@dataclass(frozen=True)
class WeighedRules:
    """How far rules are believed. [rules] each

    Attributes:
        agreement: how far the other members confirm them; see `rule_reliability.Agreement`.
        precision: how often each is expected to be right where it fires.
        added: what each adds to its label's score there, in nats.
    """

    agreement: Array
    precision: Array
    added: Array


def weigh(session: Session, scores: Array, *, blind: bool = False) -> WeighedRules:
    """Return how far the rules are believed beside an ensemble; `weigh_rules` comes before.

    The ensemble may confirm less of them than generation 0 did; more counts for nothing, since
    teachers have handed on what the rules say.

    Args:
        scores: the ensemble's, calibrated, of the unlabeled rows. [rows, labels]
        blind: without what the labeled rows tell of the rules, for whom these are held out.
    """
    record = read_record(session.folder / PRECISIONS / DONE)["rules"]
    found = [record[rule.name] for rule in session.task.rules]
    right, fired = np.array([[own["right"], own["fired"]] for own in found], np.int64).T
    if blind:
        right, fired = np.zeros_like(right), np.zeros_like(fired)
    first = Agreement(
        *(
            np.array([np.nan if own[name] is None else own[name] for own in found])
            for name in ("agreement", "kappa")
        )
    )
    outcome, labels = session.outcome, labels_of_rules(session.task)
    probabilities, fires = outcome.probabilities(scores), rows_fired(session, "pool")
    now = agreement_with(probabilities, fires, labels, outcome.mean_confidence(probabilities))
    agreement = first.lower(now)
    precision = expected_precision(right, fired, agreement)
    added = added_log_odds(probabilities, fires, labels, precision)
    return WeighedRules(agreement.share, precision, added)


def added_by_rules(session: Session, scores: Array, *, blind: bool = False) -> list[float]:
    """Return what each rule adds to an ensemble's scores, in nats; see `weigh`."""
    return [float(own) for own in weigh(session, scores, blind=blind).added]


def rule_scores(task: Task, fires: Fires, added: Sequence[float]) -> Array:
    """Return what rules add to the scores of rows. [rows, labels]

    Args:
        fires: in which rows each rule fires. [rows, rules]
        added: by each rule; see `added_by_rules`.
    """
    return evidence(fires, labels_of_rules(task), added, len(task.labels))
