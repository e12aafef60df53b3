"""A run folder in, what it amounts to out: report.json."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

import pet
from pet.data.labeled import LabeledSet
from pet.ensemble.lineup import Lineup, unused_labels
from pet.ensemble.members import Member, folder_of, weighing_of
from pet.ensemble.predictions import is_trained_jointly, pool_logits
from pet.ensemble.rules import (
    added_by_rules,
    labels_of_rules,
    rows_fired,
    rule_scores,
    weigh,
)
from pet.ensemble.stopping import Generation
from pet.ensemble.weights import ensemble_scaling, member_weights, scaled_pool
from pet.inputs.run_tables import count_leaks
from pet.inputs.session import Session
from pet.method.calibration import Scaling
from pet.method.label_metrics import co_occurrence
from pet.method.label_trees import LabelTree
from pet.method.rule_reliability import firing_of
from pet.reporting.measurement import count_rejected, ensemble_accuracy, find_examples, measure
from pet.reporting.model_card import model_card
from pet.storage.files import read_record, write_json, write_text
from pet.storage.units import DONE
from pet.student.exits import EXITS
from pet.student.label_choice import LabelChoice
from pet.student.label_files import count_labels
from pet.student.soft_labels import decided_outcome

EXIT_FIGURES = "threshold", "held_out", "test"

MEASURED: tuple[Literal["labeled", "test"], ...] = ("labeled", "test")


def write_report(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    generations: Sequence[Generation],
    seconds: Mapping[str, float],
    choice: LabelChoice,
) -> dict[str, Any]:
    """Measure everything that was made, and write `report.json` and the manifest's rest.

    Args:
        members: of the generation that was kept.
        generations: all that were made, a last one that was discarded included.
        seconds: what each stage took.
        choice: who labels the pool rows that the members scored.
    """
    manifest = read_record(session.folder / "manifest.json")
    weights = member_weights(session, lineup, members)
    scaling = ensemble_scaling(session, lineup, members, weights)
    sampled = read_record(session.folder / "unlabeled" / DONE)
    several = {"labels_per_text": "any"} if session.task.several else {}
    labels = session.task.labels
    tree = LabelTree.of(labels, session.task.label_separator)
    report: dict[str, Any] = {
        "task": session.task.name,
        **several,
        "description": session.task.description,
        "templates": {pattern.name: pattern.template for pattern in session.task.patterns},
        "run": session.folder.name,
        "pool": {
            "rows": sampled["rows"],
            "rejected": sampled["rejected"],
            "scored_by_members": sampled["sampled"],
        },
        "sets": {name: _count(session, table) for name, table in session.inputs.measured().items()},
        "leaked": count_leaks(session.task, session.labeled, session.test),
        "rejected": count_rejected(session),
        "labels": count_labels(session.folder / "labels", labels, session.task.several, tree)
        | {"choice": asdict(choice)},
        "examples": find_examples(session),
        "weighing": weighing_of(session.config, session.task),
        "weights": dict(zip([m.name for m in members], weights, strict=True)),
        "members": _members(session, members, weights, scaling),
        "ensemble_temperature": scaling.temperature,
        "ensemble_offsets": dict(zip(session.task.labels, scaling.offsets, strict=True)),
        "seconds": seconds,
        "generations": [_generation(session, lineup, own) for own in generations],
        "warnings": list(session.labeled.warnings),
        "unused_labels": unused_labels(
            session.config, session.labeled.labels, members, later=len(generations) > 1
        ),
        "test_warnings": [] if session.test is None else list(session.test.warnings),
    }
    if prompts := _prompts(session, members):
        report["prompts"] = prompts
    if session.task.prior:
        report["prior"] = {label: round(own, 6) for label, own in session.task.prior.items()}
    if session.config.student.exits:
        record = read_record(session.folder / EXITS / DONE)
        report["exits"] = {key: record[key] for key in EXIT_FIGURES if key in record}
    if session.task.rules:
        report["rules"] = _rules(session, members, weights, scaling)
    for source in MEASURED:
        if source in session.inputs.measured():
            report[source] = measure(session, lineup, members, source)
    write_json(session.folder / "report.json", report)
    write_text(session.folder / "student" / "README.md", model_card(session, report))
    write_json(
        session.folder / "manifest.json",
        {**manifest, "machine": machine(), "made_with": versions()},
    )
    return report


def _count(session: Session, table: LabeledSet) -> dict[str, Any]:
    """Count the rows of a set with known labels, and of every label."""
    counts = session.outcome.counts(table.labels, len(session.task.labels)).tolist()
    of_labels = dict(zip(session.task.labels, counts, strict=True))
    several: dict[str, Any] = {}
    if session.task.several:
        without = int((~table.labels.any(axis=1)).sum())
        several = {"without": without, "together": co_occurrence(table.labels).tolist()}
    return {"rows": len(table), "counts": of_labels, **several}


def _members(
    session: Session, members: Sequence[Member], weights: list[float], scaling: Scaling
) -> dict[str, Any]:
    """Describe every member, with its agreement with the ensemble on pool rows."""
    logits = pool_logits(session, members)
    outcome = decided_outcome(session)
    scores = scaling.of(outcome.combine(logits, weights))
    if session.task.rules:
        added = added_by_rules(session, scores)
        scores += rule_scores(session.task, rows_fired(session, "pool"), added)
    chosen = outcome.choose(outcome.probabilities(scores))
    votes = outcome.votes(logits, scaling)
    shares = np.array([outcome.agreement(own[None], chosen).mean() for own in votes])
    agreement = shares.round(4).tolist()
    return {
        member.name: {
            "kind": member.kind,
            "pattern": member.pattern,
            "trained": member.generation is not None or is_trained_jointly(session),
            "agreement": share,
        }
        for member, share in zip(members, agreement, strict=True)
    }


def _rules(
    session: Session, members: Sequence[Member], weights: Sequence[float], scaling: Scaling
) -> dict[str, Any]:
    """Describe every rule: where it fires in the pool, how far it is believed, what it adds."""
    task = session.task
    fires, labels = rows_fired(session, "pool"), labels_of_rules(task)
    firing = firing_of(fires, labels, several=task.several)
    weighed = weigh(session, scaled_pool(session, members, weights, scaling))
    return {
        rule.name: {
            "label": rule.label,
            "finds": rule.finds,
            **asdict(own),
            "agreement": _rounded(weighed.agreement[place]),
            "precision": _rounded(weighed.precision[place]),
            "added": _rounded(weighed.added[place]),
        }
        for place, (rule, own) in enumerate(zip(task.rules, firing, strict=True))
    }


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _generation(session: Session, lineup: Lineup, generation: Generation) -> dict[str, Any]:
    """Describe a generation: how many rows each member was trained on, and their agreement."""
    learned = 0
    for member in generation.members:
        if member.generation is not None:
            record = read_record(folder_of(session.folder, member) / DONE)
            drawn = len(record.get("drawn", {}).get("rows", []))
            learned = max(learned, len(session.labeled) + drawn)
    shares = [round(share, 4) for share in generation.growth.shares]
    found: dict[str, Any] = {
        "members": [member.name for member in generation.members],
        "rows": learned,
        "agreement": round(generation.growth.agreement, 4),
        "shares": dict(zip(session.task.labels, shares, strict=True)),
    }
    if session.test is not None:
        found["test_accuracy"] = ensemble_accuracy(session, lineup, generation.members, "test")
    return found


def _prompts(session: Session, members: Sequence[Member]) -> dict[str, list[list[str]]]:
    """List, for members that are soft prompts, the words nearest to each of their vectors."""
    trained = [member for member in members if member.generation is not None]
    records = {
        member.name: read_record(folder_of(session.folder, member) / DONE) for member in trained
    }
    return {name: own["nearest_words"] for name, own in records.items() if "nearest_words" in own}


def machine() -> dict[str, str]:
    """Name the machine, without its network name."""
    return {"system": platform.system(), "machine": platform.machine()}


def versions() -> dict[str, str]:
    """List the versions that a repetition needs."""
    packages = ("torch", "transformers", "peft", "tokenizers", "numpy", "pyarrow")
    found = {name: version(name) for name in packages}
    return {"pet": pet.__version__, "python": platform.python_version(), **found}
