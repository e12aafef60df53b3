"""How members are weighed and how sure they may be: in whole runs, against their own files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.answers import pool_logits
from pet.ensembling import agreement_weights, combine, softmax
from pet.inputs import read_inputs
from pet.members import Member, members_of
from pet.pipeline import label_pool
from pet.weighing import ensemble_temperature, member_weights, unseen_logits

Configure = Callable[..., Any]


@pytest.fixture(scope="module")
def from_untrained(
    inputs_folder: Path, model_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A run that started with untrained members, and grew."""
    from tests import samples

    config = samples.tiny_config(
        inputs_folder, model_folder("bert"), tmp_path_factory.mktemp("grown") / "run",
        train_from=100, generations=1, growth_factor=1.5, weights="agreement",
    )  # fmt: skip
    label_pool(config)
    return read_inputs(config)


def confidence(inputs: Any, members: list[Member]) -> float:
    weights = member_weights(inputs, members)
    temperature = ensemble_temperature(inputs, members, weights)
    together = combine(pool_logits(inputs, members), weights)
    return float(softmax(together, temperature).max(axis=1).mean())


def test_a_generation_is_never_less_sure_than_the_untrained_one_it_grew_from(
    from_untrained: Any,
) -> None:
    first, second = members_of(from_untrained, 0), members_of(from_untrained, 1)
    assert all(member.generation is None for member in first)
    assert all(member.generation == 1 for member in second)
    assert confidence(from_untrained, second) >= confidence(from_untrained, first) - 1e-3


def test_what_was_learned_from_the_labeled_rows_does_not_say_how_sure_it_may_be(
    from_untrained: Any,
) -> None:
    assert unseen_logits(from_untrained, members_of(from_untrained, 0)) is not None
    assert unseen_logits(from_untrained, members_of(from_untrained, 1)) is None


def test_weights_by_agreement_are_of_the_whole_generation(from_untrained: Any) -> None:
    """A single teacher, weighed among itself, would have nobody to agree with."""
    generation = members_of(from_untrained, 0)
    expected = agreement_weights(pool_logits(from_untrained, generation))
    assert member_weights(from_untrained, generation) == expected
    alone = member_weights(from_untrained, generation[:1], among=generation)
    assert alone == expected[:1]


def test_an_encoder_that_was_taught_by_trained_members_has_seen_the_labeled_rows(
    config_for: Configure, model_folder: Any
) -> None:
    """They know these rows, and hand it on: its cross-validation is no longer one."""
    config = config_for(encoder=str(model_folder("bert")), generations=1, growth_factor=1.5)
    label_pool(config)
    inputs = read_inputs(config)
    encoders = [Member("", 0, number, "encoder") for number in (0, 1)]
    assert unseen_logits(inputs, encoders[:1]) is not None
    assert unseen_logits(inputs, encoders[1:]) is None
    weights = {member_weights(inputs, [encoder])[0] for encoder in encoders}
    record = json.loads((Path(config.out) / "members" / "encoder-g0" / "done.json").read_text())
    assert weights == {record["cross_validated_accuracy"]}


def test_one_labeled_row_weighs_nobody(
    config_for: Configure, model_folder: Any, inputs_folder: Path, tmp_path: Path
) -> None:
    from tests import samples

    samples.write_csv(tmp_path / "one.csv", samples.labeled_rows()[:1], ("text", "label"))
    config = config_for(labeled=str(tmp_path / "one.csv"), encoder=str(model_folder("bert")))
    report = label_pool(config)
    assert set(report["weights"].values()) == {1.0}


def test_the_temperature_of_untrained_members_is_the_one_that_fits_their_own_logits(
    from_untrained: Any,
) -> None:
    from pet.ensembling import fit_temperature

    first = members_of(from_untrained, 0)
    weights = member_weights(from_untrained, first)
    logits = unseen_logits(from_untrained, first)
    assert logits is not None
    expected = fit_temperature(combine(logits, weights), from_untrained.labeled.labels)
    assert ensemble_temperature(from_untrained, first, weights) == expected
    assert np.isfinite(expected)
