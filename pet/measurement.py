"""How good everything is that a run made, on a set with known labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from pet.answers import stacked_logits
from pet.ensembling import combine, softmax
from pet.evaluation import above, coverage_curve, metrics
from pet.inputs import Inputs
from pet.logits import read_logits
from pet.members import Member, folder_of
from pet.weighing import Weighing, ensemble_temperature, member_weights, unseen_logits

Array = NDArray[np.floating]


def measure(inputs: Inputs, members: Sequence[Member], source: str) -> dict[str, Any]:
    """Measure patterns, encoder member, ensemble, student and baseline.

    On the labeled set only the zero-shot figures are always of rows that were not learned from,
    and `ensemble` is where `unseen` is true.

    Args:
        source: labeled or test.
    """
    truth = inputs.measured()[source].labels
    _, logits = stacked_logits(inputs, members, f"{source}.parquet")
    unseen = unseen_logits(inputs, members) if source == "labeled" else None
    weights = member_weights(inputs, members)
    temperature = ensemble_temperature(inputs, members, weights)
    heard = logits if unseen is None else unseen
    together = softmax(combine(heard, weights), temperature)
    found: dict[str, Any] = {
        **_of_members(inputs, members, heard, source),
        "unseen": source == "test" or unseen is not None,
        "ensemble": metrics(together, truth),
        "ensembles": _by_weighing(inputs, members, heard, truth),
    }
    said = {"ensemble": together}
    for name in ("supervised", "student") if len(inputs.labeled) else ("student",):
        said[name] = softmax(
            read_logits(inputs.folder / "evaluation" / f"{name}-{source}.parquet")[1]
        )
        found[name] = metrics(said[name], truth)
    for name in ("ensemble", "student"):
        found[name]["abstaining"] = above(said[name], truth, inputs.config.abstain_below)
        found[name]["coverage"] = coverage_curve(said[name], truth)
    return found


def _of_members(
    inputs: Inputs, members: Sequence[Member], logits: Array, source: str
) -> dict[str, Any]:
    """Measure single patterns (the mean of their repetitions), and the encoder member."""
    truth = inputs.measured()[source].labels
    found: dict[str, Any] = {"patterns": {}}
    by_pattern = defaultdict(list)
    for member, own in zip(members, logits, strict=True):
        if member.kind == "encoder":
            found["encoder"] = metrics(softmax(own), truth)
        else:
            by_pattern[member.pattern].append(metrics(softmax(own), truth))
    for pattern, measured in by_pattern.items():
        untrained = folder_of(inputs, Member(pattern, generation=None))
        before = read_logits(untrained / "logits" / f"{source}.parquet")[1]
        found["patterns"][pattern] = {
            "zero_shot": metrics(softmax(before), truth),
            "trained": {
                key: round(float(np.mean([m[key] for m in measured])), 4) for key in measured[0]
            },
        }
    best = max(found["patterns"], key=lambda name: found["patterns"][name]["trained"]["accuracy"])
    found["best_pattern"] = {"name": best, **found["patterns"][best]["trained"]}
    return found


def _by_weighing(
    inputs: Inputs, members: Sequence[Member], logits: Array, truth: NDArray[np.int64]
) -> dict[str, Any]:
    """Measure the ensemble under every way of weighing its members."""
    found: dict[str, Any] = {}
    ways: tuple[Weighing, ...] = get_args(Weighing)
    for way in ways:
        weights = member_weights(inputs, members, weighing=way)
        temperature = ensemble_temperature(inputs, members, weights)
        found[way] = metrics(softmax(combine(logits, weights), temperature), truth)
    return found


def ensemble_accuracy(inputs: Inputs, members: Sequence[Member], source: str) -> float:
    """Return the accuracy of some members together."""
    _, logits = stacked_logits(inputs, members, f"{source}.parquet")
    together = softmax(combine(logits, member_weights(inputs, members)))
    return metrics(together, inputs.measured()[source].labels)["accuracy"]
