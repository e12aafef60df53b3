"""What counts as harm in a whole run: an encoder that learned alone, and little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.ensemble import fingerprints
from pet.ensemble import stopping as growing
from pet.ensemble.members import Member, folder_of
from pet.inputs.pool_sample import unlabeled_rows
from pet.inputs.reading import open_session
from pet.method import outcomes
from pet.pipeline import label_pool
from pet.storage.files import read_json, read_record, write_json
from pet.storage.units import DONE
from tests.support import samples
from tests.support.lineups import planned

Configure = Callable[..., Any]


@pytest.fixture
def config(config_for: Configure, model_folder: Any) -> Any:
    return config_for(
        encoder=str(model_folder("bert")), member={"steps": 0}, generations=1, growth_factor=1.5
    )


@pytest.mark.parametrize(
    ("kept", "generation"), [(growing.KEPT - 0.01, 0), (growing.KEPT + 0.01, 1)]
)
def test_an_encoder_that_cannot_say_what_it_was_taught_leads_the_ensemble_astray(
    config: Any, monkeypatch: pytest.MonkeyPatch, kept: float, generation: int
) -> None:
    monkeypatch.setattr(outcomes, "retention", lambda said, labels: kept)
    listener = samples.Listener()
    report = label_pool(config, observer=listener)
    assert f"encoder-g{generation}" in report["weights"]
    lines = [line for line in listener.said if "is discarded, 0 is kept" in line]
    assert len(lines) == (1 if generation == 0 else 0)
    assert all(f"the encoder predicts {kept:.0%} of what its teachers" in line for line in lines)


def test_what_an_encoder_retains_is_measured_on_the_whole_pool(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the rows that its teachers are surest of, films looked better than they are."""
    measured: list[int] = []

    def kept(said: Any, labels: Any) -> float:
        assert len(said) == len(labels)
        measured.append(len(labels))
        return 1.0

    monkeypatch.setattr(outcomes, "retention", kept)
    label_pool(config)
    session = open_session(config)
    assert measured == [int(unlabeled_rows(session).trainable.sum())]


def test_an_encoder_that_knows_less_than_the_patterns_is_not_grown(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of films it reproduced four fifths of its teachers, and the ensemble fell from .85 to .80."""
    monkeypatch.setattr(outcomes, "retention", lambda said, labels: 1.0)
    monkeypatch.setattr(growing, "is_encoder_behind", lambda session, lineup: True)
    listener = samples.Listener()
    report = label_pool(config, observer=listener)
    assert "encoder-g0" in report["weights"]
    assert "encoder-g1" not in report["weights"]
    assert any("better than the encoder does, out of fold" in line for line in listener.said)


def test_an_encoder_member_of_a_former_run_that_has_not_measured_it_is_made_again(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record was read all the same, and going on with the run ended in a KeyError."""
    with monkeypatch.context() as before:
        before.setattr(fingerprints, "OF_LATER_ENCODERS", {})
        label_pool(config)
    done = Path(config.out) / "members" / "encoder-g1" / DONE
    write_json(done, {name: own for name, own in read_json(done).items() if name != "retained"})
    label_pool(config)
    assert read_json(done)["retained"] is not None


@pytest.mark.parametrize(("kept", "stopped"), [(0.79, True), (0.81, False)])
def test_without_labeled_rows_patterns_that_lose_what_they_were_taught_are_not_kept(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch, kept: float, stopped: bool
) -> None:
    """Nothing else would tell: films' labels came from .58 right to .52, and nobody minded."""
    monkeypatch.setattr(outcomes, "retention", lambda said, labels: kept)
    monkeypatch.setattr(growing, "degradation", lambda *signs, **others: "")
    listener = samples.Listener()
    report = label_pool(config_for(labeled=None, generations=1), observer=listener)
    assert all(name.startswith("untrained-") for name in report["weights"]) is stopped
    lines = [line for line in listener.said if f"a member predicts {kept:.0%} of what" in line]
    assert len(lines) == stopped


def test_a_pattern_is_asked_about_rows_that_it_has_not_learned_from(
    config_for: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def kept(said: Any, labels: Any) -> float:
        asked.append(len(labels))
        return 1.0

    monkeypatch.setattr(outcomes, "retention", kept)
    monkeypatch.setattr(growing, "degradation", lambda *signs, **others: "")
    config = config_for(labeled=None, generations=1)
    label_pool(config)
    session = open_session(config)
    drawn = [
        len(read_record(folder_of(session.folder, member) / DONE)["drawn"]["rows"])
        for member in planned(session).generations[1]
    ]
    assert asked == [len(unlabeled_rows(session)) - own for own in drawn]
    assert all(drawn)


def test_patterns_that_learn_too_are_not_stopped_for_the_encoders_sake(
    config_for: Configure, model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "retention", lambda said, labels: 0.0)
    config = config_for(encoder=str(model_folder("bert")), generations=1, growth_factor=1.5)
    label_pool(config)
    session = open_session(config)
    lineup = planned(session)
    assert not growing._not_taken_up(session, lineup, lineup.generations[1])
    untrained = [Member(pattern.name, generation=None) for pattern in session.task.patterns]
    assert not growing._not_taken_up(session, lineup, untrained), "nobody has learned anything"
    second = growing.generation_of(session, lineup, lineup.generations[1])
    assert np.isfinite(second.growth.agreement)
