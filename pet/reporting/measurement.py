"""How good everything is that a run made, on a set with known labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pet.config import Weighing
from pet.data.pool import SEVERAL
from pet.data.rejections import Rejections, read_rejected
from pet.ensemble.lineup import Lineup
from pet.ensemble.logits import read_logits
from pet.ensemble.members import Member, Way, folder_of, weighing_of
from pet.ensemble.predictions import (
    is_trained_jointly,
    out_of_fold_path,
    out_of_fold_rows,
    stacked_logits,
)
from pet.ensemble.rules import added_by_rules, labels_of_rules, rows_fired, rule_scores
from pet.ensemble.weights import (
    ensemble_scaling,
    ensemble_scores,
    member_weights,
    predict_measured,
    scaled_pool,
)
from pet.inputs.pool_sample import REJECTED, Unlabeled, unlabeled_rows
from pet.inputs.session import Session
from pet.method.label_trees import LabelTree
from pet.method.metrics import compare
from pet.method.outcomes import Outcome, Truth
from pet.student.answered_rows import read_predicted
from pet.student.linear_baselines import LINEAR_STUDENT, LINEAR_SUPERVISED
from pet.student.soft_labels import decided_outcome
from pet.student.student_folder import student_outcome

DOUBTFUL = 12

MOST_CONFIDENT = 4  # of every label

LONGEST = 280  # characters of a text


COLUMNS = ("id", "confidence", "probabilities", "agreement")

NONE = "none of them"  # a row without a label, where a text may have several


def find_examples(session: Session) -> dict[str, Any]:
    """Find the rows of `labels/` with the lowest confidence, and per label with the highest.

    They are looked for among the rows that the members scored: of those the run folder has the
    texts, and they are a uniform sample of the pool where they are not all of it.

    Returns:
        `among` (how many rows those are), `doubtful` (a list) and `surest` (a list per label); of
        a row: `id`, `label`, `confidence`, `second` (the likeliest label that it was not given, and
        its probability), `agreement`, `texts`; of several labels, `given` (each, as `second`).
    """
    unlabeled, labels = unlabeled_rows(session), session.task.labels
    given = SEVERAL if session.task.several else "label"
    confident_rows = _confident_sets if session.task.several else _confident
    doubtful, confident = pa.table({}), pa.table({})
    scored = 0
    for path in sorted((session.folder / "labels").glob("part-*.parquet")):
        table = read_predicted(path, (*COLUMNS, given), session.config)
        # Only rows that the members scored have an agreement, and both are in pool order.
        table = table.filter(pc.is_valid(table["agreement"]))
        places = np.arange(scored, scored + len(table))
        table = table.append_column("place", pa.array(places))
        scored += len(table)
        doubtful = _doubtful(pa.concat_tables([doubtful, table], promote_options="default"))
        confident = confident_rows(pa.concat_tables([confident, table], promote_options="default"))
    assert scored == len(unlabeled), "every row that was scored is labeled"
    confident_of: dict[str, list[Any]] = {label: [] for label in labels}
    for row in confident.to_pylist():
        for label in row[SEVERAL] if session.task.several else [row["label"]]:
            confident_of[label].append(_shown(row, unlabeled))
    if session.task.several:  # a row is there for each of its labels, however sure of it
        confident_of = {label: _surest_of(label, rows) for label, rows in confident_of.items()}
    return {
        "among": scored,
        "doubtful": [_shown(row, unlabeled) for row in doubtful.to_pylist()],
        "surest": confident_of,
    }


def _doubtful(table: pa.Table) -> pa.Table:
    order = np.argsort(table["confidence"].to_numpy(), kind="stable")
    return table.take(order[:DOUBTFUL])


def _confident(table: pa.Table) -> pa.Table:
    labels = np.array(table["label"].to_pylist(), dtype=object)
    order = np.argsort(-table["confidence"].to_numpy(), kind="stable")
    chosen = [order[labels[order] == label][:MOST_CONFIDENT] for label in dict.fromkeys(labels)]
    places: NDArray[np.int64] = np.concatenate([np.empty(0, np.int64), *chosen])
    return table.take(places)


def _confident_sets(table: pa.Table) -> pa.Table:
    """Keep of every label the rows that have it with the highest probability."""
    given = table[SEVERAL].to_pylist()
    probabilities = table["probabilities"].to_pylist()
    kept: set[int] = set()
    for label in probabilities[0] if probabilities else ():
        having = [place for place, own in enumerate(given) if label in own]
        having.sort(key=lambda place: -probabilities[place][label])
        kept.update(having[:MOST_CONFIDENT])
    return table.take(pa.array(sorted(kept), pa.int64()))


def _surest_of(label: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the rows that have one of several labels with the highest probability, in order."""
    chances = [{own["label"]: own["probability"] for own in row["given"]} for row in rows]
    order = sorted(range(len(rows)), key=lambda place: -chances[place][label])
    return [rows[place] for place in order[:MOST_CONFIDENT]]


def _shown(row: dict[str, Any], unlabeled: Unlabeled) -> dict[str, Any]:
    chances, several = row["probabilities"], SEVERAL in row
    given = row[SEVERAL] if several else [row["label"]]
    others = [name for name in chances if name not in given]
    second = max(others, key=lambda name: chances[name], default=None)
    return {
        "id": row["id"],
        "label": ", ".join(given) or NONE,
        "confidence": round(row["confidence"], 4),
        "second": None if second is None else _chance(row, second),
        **({"given": [_chance(row, name) for name in given]} if several else {}),
        "agreement": round(row["agreement"], 4),
        "texts": {name: _cut(of_pool[row["place"]]) for name, of_pool in unlabeled.columns.items()},
    }


def _chance(row: dict[str, Any], label: str) -> dict[str, Any]:
    return {"label": label, "probability": round(row["probabilities"][label], 4)}


def _cut(text: str | None) -> str:
    """Put a text on one line, and truncate it."""
    line = " ".join((text or "")[: 4 * LONGEST].split())
    return line if len(line) <= LONGEST else line[:LONGEST].rstrip() + "…"


def count_rejected(session: Session) -> dict[str, Any]:
    """Count the rows that could not be used, by file kind and reason, and name the first few."""
    counted = {"pool": read_rejected(session.folder / REJECTED)}
    for name, table in session.inputs.measured().items():
        counted[name] = Rejections(table.rejected)
    return {
        name: {"reasons": dict(own.reasons.most_common()), "first": list(map(asdict, own.first))}
        for name, own in counted.items()
    }


Array = NDArray[np.floating]


def measure(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    source: Literal["labeled", "test"],
) -> dict[str, Any]:
    """Measure patterns, encoder member, ensemble, student and baseline.

    On the labeled set, members and ensemble are measured out of fold, as far as there are held-out
    rows; `unseen` tells whether there are. Baseline and student are trained on all of them.

    Args:
        source: labeled or test.
    """
    outcome = decided_outcome(session)
    truth = session.inputs.measured()[source].labels
    tree = LabelTree.of(session.task.labels, session.task.label_separator)
    _, logits = stacked_logits(session, members, f"{source}.parquet")
    of_ensemble = predict_measured(session, lineup, members, source)
    rows = of_ensemble.rows
    found: dict[str, Any] = {
        **_of_members(session, lineup, members, logits, source),
        "unseen": of_ensemble.unseen,
        "ensemble": outcome.metrics(of_ensemble.probabilities, truth[rows]),
    }
    if session.task.rules:
        alone = predict_measured(session, lineup, members, source, with_rules=False)
        found["without_rules"] = outcome.metrics(alone.probabilities, truth[alone.rows])
        found["rules"] = _of_rules(session, source)
    if source == "test":
        found["ensembles"] = _by_weighing(session, lineup, members, logits, truth)
    predicted, by = {"ensemble": of_ensemble.probabilities}, {"ensemble": outcome}
    for name in ("supervised", "student") if len(session.labeled) else ("student",):
        predicted[name] = outcome.probabilities(
            read_logits(session.folder / "evaluation" / f"{name}-{source}.parquet")[1]
        )
        by[name] = outcome.fitted(predicted[name])  # no label is read for it
        if name == "student":
            by[name] = student_outcome(session)
        found[name] = by[name].metrics(predicted[name], truth)
    for name, probabilities in predicted.items():
        of = truth[rows] if name == "ensemble" else truth
        found[name] |= by[name].evaluated(probabilities, of, session.config.abstain_below)
        if tree is not None:
            found[name]["levels"] = tree.measured(probabilities, of, session.config.abstain_below)
    if source == "test":
        for name in (LINEAR_SUPERVISED, LINEAR_STUDENT):
            path = session.folder / "evaluation" / f"{name}-test.parquet"
            is_made = name == LINEAR_STUDENT or len(session.labeled)
            if is_made and not session.config.linear_student:
                predicted[name] = outcome.probabilities(read_logits(path)[1])
        for member in lineup.first:
            if member.kind == "encoder":  # it has learned from the labeled rows alone
                path = folder_of(session.folder, member) / "logits" / "test.parquet"
                predicted[LINEAR_ENCODER] = outcome.of_member(read_logits(path)[1])
        for name in SIMPLE:  # in this order: report.json is to have the same bytes in any process
            if name in predicted:
                by[name] = outcome.fitted(predicted[name])
                found[name] = by[name].metrics(predicted[name], truth)
        found["pairs"] = [
            {
                "one": one,
                "other": other,
                **compare(
                    truth, by[one].choose(predicted[one]), by[other].choose(predicted[other])
                ),
            }
            for one, other in PAIRS
            if {one, other} <= predicted.keys()
        ]
    return found


LINEAR_ENCODER = "linear_encoder"  # logistic regression on a sentence encoder's vectors

SIMPLE = (LINEAR_SUPERVISED, LINEAR_STUDENT, LINEAR_ENCODER)

PAIRS = (
    ("ensemble", "supervised"),
    ("student", "supervised"),
    ("student", "ensemble"),
    ("student", LINEAR_STUDENT),
    ("student", LINEAR_SUPERVISED),
    ("student", LINEAR_ENCODER),
)


def _of_members(
    session: Session, lineup: Lineup, members: Sequence[Member], logits: Array, source: str
) -> dict[str, Any]:
    """Measure single patterns (the mean of their repetitions), and the encoder member.

    On the labeled set, a member without held-out rows has no figures.
    """
    truth, outcome = session.inputs.measured()[source].labels, decided_outcome(session)
    found: dict[str, Any] = {"patterns": {}}
    by_pattern = defaultdict(list)
    for member, own in zip(members, logits, strict=True):
        rows = np.ones(len(truth), dtype=bool)
        if source == "labeled":
            rows = out_of_fold_rows(session, lineup, member)
            if not rows.any():
                continue
            own = read_logits(out_of_fold_path(session, lineup, member))[1]
        measured = _measured(outcome, own[rows], truth[rows])
        if member.kind == "encoder":
            found["encoder"] = measured
        else:
            by_pattern[member.pattern].append(measured)
    patterns = dict.fromkeys(member.pattern for member in members if member.kind == "pattern")
    for pattern in patterns:
        found["patterns"][pattern] = {}
        untrained = folder_of(session.folder, Member(pattern, generation=None))
        if not is_trained_jointly(session):
            before = read_logits(untrained / "logits" / f"{source}.parquet")[1]
            found["patterns"][pattern]["zero_shot"] = _measured(outcome, before, truth)
        if of_pattern := by_pattern[pattern]:
            found["patterns"][pattern]["trained"] = {
                key: round(float(np.mean([m[key] for m in of_pattern])), 4) for key in of_pattern[0]
            }
    if all(by_pattern[pattern] for pattern in patterns):
        trained = {name: own["trained"] for name, own in found["patterns"].items()}
        measure = "micro_f1" if outcome.several else "accuracy"
        best = max(trained, key=lambda name: trained[name][measure])
        found["best_pattern"] = {"name": best, **trained[best]}
    return found


def _measured(outcome: Outcome, logits: Array, truth: Truth) -> dict[str, float]:
    """Measure one member by itself."""
    probabilities = outcome.of_member(logits)
    return outcome.fitted(probabilities).metrics(probabilities, truth)


def _by_weighing(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    logits: Array,
    truth: Truth,
) -> dict[str, Any]:
    """Measure the ensemble under every way of weighing its members."""
    found: dict[str, Any] = {}
    outcome = decided_outcome(session)
    ways: tuple[Way, ...] = get_args(Weighing)
    for way in dict.fromkeys([*ways, weighing_of(session.config, session.task)]):
        weights = member_weights(session, lineup, members, weighing=way)
        scaling = ensemble_scaling(session, lineup, members, weights)
        scores = scaling.of(outcome.combine(logits, weights))
        if session.task.rules:
            added = added_by_rules(session, scaled_pool(session, members, weights, scaling))
            scores += rule_scores(session.task, rows_fired(session, "test"), added)
        found[way] = outcome.metrics(outcome.probabilities(scores), truth)
    return found


def _of_rules(session: Session, source: Literal["labeled", "test"]) -> dict[str, Any]:
    """Count the rows in which each rule fires, and those in which it is right."""
    fires, truth = rows_fired(session, source), session.inputs.measured()[source].labels
    right = fires & session.outcome.has(truth, labels_of_rules(session.task))
    return {
        rule.name: {"rows": int(fires[:, place].sum()), "right": int(right[:, place].sum())}
        for place, rule in enumerate(session.task.rules)
    }


def ensemble_accuracy(
    session: Session,
    lineup: Lineup,
    members: Sequence[Member],
    source: Literal["labeled", "test"],
) -> float:
    """Return the accuracy of some members and the rules; of several labels a text, micro-F1."""
    _, logits = stacked_logits(session, members, f"{source}.parquet")
    outcome = decided_outcome(session)
    scores, _ = ensemble_scores(session, lineup, members, logits, source)
    measured = outcome.metrics(
        outcome.probabilities(scores), session.inputs.measured()[source].labels
    )
    return measured["micro_f1" if outcome.several else "accuracy"]
