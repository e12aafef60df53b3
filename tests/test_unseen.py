"""Labeled rows that nobody has learned from, and what is said of them, in whole runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pet.ensemble.logits import read_logits
from pet.ensemble.members import Member, members_of
from pet.ensemble.predictions import answers_path, unseen_answers, unseen_rows
from pet.ensemble.teachers import first_judges, left_out
from pet.inputs.inputs import read_inputs
from pet.pipeline import label_pool

Configure = Callable[..., Any]


def test_a_row_is_judged_by_those_only_who_left_it_out(config_for: Configure) -> None:
    config = config_for()
    label_pool(config)
    judge = Path(config.out) / "members" / "judge-last-r0"
    assert {path.name for path in judge.iterdir()} == {"done.json", "held_out.parquet"}
    inputs = read_inputs(config)
    members = members_of(inputs)
    found = unseen_answers(inputs, members, [1.0] * len(members))
    assert found is not None
    rows, logits = found
    judges = first_judges(inputs)
    assert set(rows.tolist()) == {row for j in judges for row in left_out(inputs, j).tolist()}
    for row, together in zip(rows, logits, strict=True):
        said = [
            read_logits(answers_path(inputs, member))[1][row]
            for member, judge in zip(members, judges, strict=True)
            if row in left_out(inputs, judge)
        ]
        own = np.mean(said, axis=0)
        np.testing.assert_allclose(together, own - own.mean(), atol=1e-5)


def test_an_encoder_that_was_taught_by_trained_members_has_seen_the_labeled_rows(
    config_for: Configure, model_folder: Any
) -> None:
    """They know these rows, and hand it on: its cross-validation is no longer one."""
    config = config_for(encoder=str(model_folder("bert")), generations=1, growth_factor=1.5)
    label_pool(config)
    inputs = read_inputs(config)
    encoders = [Member("", 0, number, "encoder") for number in (0, 1)]
    assert unseen_rows(inputs, encoders[0]).all()
    assert not unseen_rows(inputs, encoders[1]).any()
