"""How good everything is that a run made, on a set with known labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from pet.answers import stacked_logits
from pet.config import Weighing
from pet.ensembling import combine, softmax
from pet.evaluation import (
    above,
    compare,
    confusion_matrix,
    coverage_curve,
    metrics,
    reliability,
)  # fmt: skip
from pet.inputs import Inputs
from pet.logits import read_logits
from pet.members import Member, folder_of
from pet.unseen import answers_path, unseen_answers, unseen_rows
from pet.weighing import ensemble_scaling, member_weights, together

Array = NDArray[np.floating]


def measure(inputs: Inputs, members: Sequence[Member], source: str) -> dict[str, Any]:
    """Measure patterns, encoder member, ensemble, student and baseline.

    On the labeled set, members and ensemble are measured on rows that they have not learned from,
    as far as there are such rows; `unseen` says whether. Baseline and student never have any.

    Args:
        source: labeled or test.
    """
    truth = inputs.measured()[source].labels
    _, logits = stacked_logits(inputs, members, f"{source}.parquet")
    weights = member_weights(inputs, members)
    known = unseen_answers(inputs, members, weights) if source == "labeled" else None
    rows, heard = (np.arange(len(truth)), combine(logits, weights)) if known is None else known
    said_together = ensemble_scaling(inputs, members, weights).probabilities(heard)
    found: dict[str, Any] = {
        **_of_members(inputs, members, logits, source),
        "unseen": source == "test" or known is not None,
        "ensemble": metrics(said_together, truth[rows]),
    }
    if source == "test":
        found["ensembles"] = _by_weighing(inputs, members, logits, truth)
    said = {"ensemble": said_together}
    for name in ("supervised", "student") if len(inputs.labeled) else ("student",):
        said[name] = softmax(
            read_logits(inputs.folder / "evaluation" / f"{name}-{source}.parquet")[1]
        )
        found[name] = metrics(said[name], truth)
    for name, probabilities in said.items():
        of = truth[rows] if name == "ensemble" else truth
        found[name] |= _judged(probabilities, of, inputs.config.abstain_below)
    if source == "test":
        found["pairs"] = [
            {"one": one, "other": other, **compare(said[one], said[other], truth)}
            for one, other in PAIRS
            if {one, other} <= said.keys()
        ]
    return found


PAIRS = (("ensemble", "supervised"), ("student", "supervised"), ("student", "ensemble"))


def _judged(probabilities: Array, truth: NDArray[np.int64], threshold: float) -> dict[str, Any]:
    """Say of a model how sure it may be, and what it takes for what."""
    labels = probabilities.shape[1]
    return {
        "abstaining": above(probabilities, truth, threshold),
        "coverage": coverage_curve(probabilities, truth),
        "reliability": reliability(probabilities, truth),
        "confusion": confusion_matrix(truth, probabilities.argmax(axis=1), labels).tolist(),
    }


def _of_members(
    inputs: Inputs, members: Sequence[Member], logits: Array, source: str
) -> dict[str, Any]:
    """Measure single patterns (the mean of their repetitions), and the encoder member.

    On the labeled set, who has no rows that it has not learned from has no figures.
    """
    truth = inputs.measured()[source].labels
    found: dict[str, Any] = {"patterns": {}}
    by_pattern = defaultdict(list)
    for member, own in zip(members, logits, strict=True):
        rows = np.ones(len(truth), dtype=bool)
        if source == "labeled":
            rows = unseen_rows(inputs, member)
            if not rows.any():
                continue
            own = read_logits(answers_path(inputs, member))[1]
        measured = metrics(softmax(own[rows]), truth[rows])
        if member.kind == "encoder":
            found["encoder"] = measured
        else:
            by_pattern[member.pattern].append(measured)
    patterns = dict.fromkeys(member.pattern for member in members if member.kind == "pattern")
    for pattern in patterns:
        untrained = folder_of(inputs, Member(pattern, generation=None))
        before = read_logits(untrained / "logits" / f"{source}.parquet")[1]
        found["patterns"][pattern] = {"zero_shot": metrics(softmax(before), truth)}
        if of_pattern := by_pattern[pattern]:
            found["patterns"][pattern]["trained"] = {
                key: round(float(np.mean([m[key] for m in of_pattern])), 4) for key in of_pattern[0]
            }
    if all(by_pattern[pattern] for pattern in patterns):
        trained = {name: own["trained"] for name, own in found["patterns"].items()}
        best = max(trained, key=lambda name: trained[name]["accuracy"])
        found["best_pattern"] = {"name": best, **trained[best]}
    return found


def _by_weighing(
    inputs: Inputs, members: Sequence[Member], logits: Array, truth: NDArray[np.int64]
) -> dict[str, Any]:
    """Measure the ensemble under every way of weighing its members."""
    found: dict[str, Any] = {}
    ways: tuple[Weighing, ...] = get_args(Weighing)
    for way in ways:
        weights = member_weights(inputs, members, weighing=way)
        scaling = ensemble_scaling(inputs, members, weights)
        found[way] = metrics(scaling.probabilities(combine(logits, weights)), truth)
    return found


def ensemble_accuracy(inputs: Inputs, members: Sequence[Member], source: str) -> float:
    """Return the accuracy of some members together."""
    _, logits = stacked_logits(inputs, members, f"{source}.parquet")
    said = softmax(together(inputs, members, logits))
    return metrics(said, inputs.measured()[source].labels)["accuracy"]
