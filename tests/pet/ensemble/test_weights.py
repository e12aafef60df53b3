"""How members are weighed and how sure they may be: in whole runs, against their own files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pet.config import TrainingConfig
from pet.ensemble import weights as weighing
from pet.ensemble.members import Member, folder_of
from pet.ensemble.predictions import out_of_fold_logits, out_of_fold_rows, pool_logits
from pet.ensemble.weights import (
    ensemble_scaling,
    is_encoder_behind,
    member_weights,
    teacher_probabilities,
)
from pet.inputs.reading import open_session
from pet.inputs.session import Session
from pet.method.calibration import UNTRAINED, fit_scaling
from pet.method.cross_fitting import share_of
from pet.method.ensembling import agreement_weights, combine, softmax
from pet.pipeline import label_pool
from pet.storage.files import read_json, write_json
from pet.storage.units import DONE
from tests.support import samples
from tests.support.lineups import planned

Configure = Callable[..., Any]


@pytest.fixture(scope="module")
def from_untrained(
    inputs_folder: Path, model_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A run that started with untrained members, and grew; later members have no held-out ones."""
    config = samples.tiny_config(
        inputs_folder,
        model_folder("bert"),
        tmp_path_factory.mktemp("grown") / "run",
        train_from=100,
        generations=1,
        growth_factor=1.5,
        weights="agreement",
        **samples.SHIPPED,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pet.ensemble.lineup.HELD_OUT_LINES", 0)
        label_pool(config)
        yield open_session(config)


def confidence(session: Any, members: list[Member]) -> float:
    weights = member_weights(session, planned(session), members)
    scaling = ensemble_scaling(session, planned(session), members, weights)
    ensemble_scores = combine(pool_logits(session, members), weights)
    return float(scaling.probabilities(ensemble_scores).max(axis=1).mean())


def test_a_generation_is_never_less_sure_than_the_untrained_one_it_grew_from(
    from_untrained: Any,
) -> None:
    first, second = planned(from_untrained).generations[0], planned(from_untrained).generations[1]
    assert all(member.generation is None for member in first)
    assert all(member.generation == 1 for member in second)
    assert confidence(from_untrained, second) >= confidence(from_untrained, first) - 1e-3


def test_what_was_learned_from_the_labeled_rows_does_not_say_how_sure_it_may_be(
    from_untrained: Any,
) -> None:
    assert all(
        out_of_fold_rows(from_untrained, planned(from_untrained), m).all()
        for m in planned(from_untrained).generations[0]
    )
    assert not any(
        out_of_fold_rows(from_untrained, planned(from_untrained), m).any()
        for m in planned(from_untrained).generations[1]
    )


def test_weights_by_agreement_are_of_the_whole_generation(from_untrained: Any) -> None:
    """A single teacher, weighed among itself, would have nobody to agree with."""
    generation = planned(from_untrained).generations[0]
    expected = agreement_weights(pool_logits(from_untrained, generation))
    assert member_weights(from_untrained, planned(from_untrained), generation) == expected
    alone = member_weights(
        from_untrained, planned(from_untrained), generation[:1], among=generation
    )
    assert alone == expected[:1]


def test_one_labeled_row_weighs_nobody(
    config_for: Configure, model_folder: Any, inputs_folder: Path, tmp_path: Path
) -> None:
    samples.write_csv(tmp_path / "one.csv", samples.labeled_rows()[:1], ("text", "label"))
    config = config_for(labeled=str(tmp_path / "one.csv"), encoder=str(model_folder("bert")))
    report = label_pool(config)
    assert set(report["weights"].values()) == {1.0}


def test_untrained_members_are_scaled_by_what_fits_their_own_logits(
    from_untrained: Any,
) -> None:
    first = planned(from_untrained).generations[0]
    weights = member_weights(from_untrained, planned(from_untrained), first)
    found = out_of_fold_logits(from_untrained, planned(from_untrained), first, weights)
    assert found is not None
    assert len(found[0]) == len(from_untrained.labeled)
    expected = fit_scaling(found[1], from_untrained.labeled.labels, expected=UNTRAINED)
    assert ensemble_scaling(from_untrained, planned(from_untrained), first, weights) == expected
    assert any(expected.offsets)


def test_held_out_members_do_not_set_label_offsets(tiny_run: Path) -> None:
    """A member's preference is chance of its training; another's would be put on top of it."""
    record = read_json(tiny_run / "soft_labels" / DONE)
    assert record["ensemble_temperature"] != 1
    assert not any(record["ensemble_offsets"])


def test_without_labels_teachers_are_no_surer_than_they_are(config_for: Configure) -> None:
    """Made as sure as is likely, they handed their errors on, and every generation was worse."""
    config = config_for(labeled=None, generations=1)
    label_pool(config)
    session = open_session(config)
    first = planned(session).generations[0]
    assert (
        ensemble_scaling(
            session, planned(session), first, member_weights(session, planned(session), first)
        ).temperature
        == UNTRAINED
    )
    learner = planned(session).generations[1][0]
    teachers = planned(session).teachers[learner]
    own = combine(pool_logits(session, teachers), [1.0] * len(teachers))
    np.testing.assert_allclose(
        teacher_probabilities(session, planned(session), learner), softmax(own)
    )


def test_patterns_that_were_right_about_no_row_keep_a_weight_beside_the_encoder(
    config_for: Configure, model_folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would weigh nothing in every generation, trained or not, by a handful of rows."""
    config = config_for(encoder=str(model_folder("bert")), generations=0)
    label_pool(config)
    session = open_session(config)
    monkeypatch.setattr(weighing, "zero_shot_accuracy", lambda session, pattern: 0.0)
    members = planned(session).generations[0]
    weights = member_weights(session, planned(session), members)
    patterns = [w for m, w in zip(members, weights, strict=True) if m.kind == "pattern"]
    assert len(set(patterns)) == 1
    assert sum(patterns) == pytest.approx(
        weighing.group_weights(session, planned(session)).patterns
    )


def test_a_tasks_own_weights_stand_in_for_measured_accuracy(
    config_for: Configure, tmp_path: Path
) -> None:
    """`weights=uniform` overrules them."""
    task = tmp_path / "task.toml"
    task.write_text(f"{samples.task_toml()}[weights]\nlast = 3\nbracket = 0.5\n", encoding="utf-8")
    own = {"last": 3.0, "bracket": 0.5}
    expected = [own.get(name, 1.0) for name in samples.PATTERNS]
    report = label_pool(config_for(task=str(task)))
    assert list(report["weights"].values()) == expected
    assert report["weighing"] == "task"
    assert "task" in report["test"]["ensembles"]
    session = open_session(config_for(task=str(task)))
    first = planned(session).first
    assert member_weights(session, planned(session), first, weighing="uniform") == [1.0] * 3
    assert member_weights(session, planned(session), first, weighing="accuracy") != expected


@pytest.fixture
def asked_alone(config_for: Configure, model_folder: Any) -> Session:
    """A run whose patterns never learn, beside an encoder."""
    config = config_for(
        encoder=str(model_folder("bert")), generations=2, member=TrainingConfig(steps=0)
    )
    label_pool(config)
    return open_session(config)


def test_untrained_patterns_have_their_own_offsets_beside_the_encoder(asked_alone: Session) -> None:
    """News of which half is earnings: the encoder learns that, patterns without do not."""
    lineup = planned(asked_alone)
    weights = member_weights(asked_alone, lineup, lineup.first)
    patterns = [member for member in lineup.first if member.kind == "pattern"]
    own = weights[: len(patterns)]
    found = out_of_fold_logits(asked_alone, lineup, patterns, own)
    together = out_of_fold_logits(asked_alone, lineup, lineup.first, weights)
    assert found is not None
    assert together is not None
    truth = asked_alone.labeled.labels[found[0]]
    of_patterns = fit_scaling(found[1], truth, expected=UNTRAINED)
    added = sum(own) / sum(weights) * of_patterns.temperature * np.array(of_patterns.offsets)
    assert added.any()
    expected = fit_scaling(together[1] + added, truth, expected=UNTRAINED)
    scaling = ensemble_scaling(asked_alone, lineup, lineup.first, weights)
    left = np.array(scaling.offsets) - added / scaling.temperature
    np.testing.assert_allclose(left, expected.offsets, atol=1e-6)


def test_what_labeled_rows_taught_counts_as_much_in_every_generation(asked_alone: Session) -> None:
    """Patterns that never learn were counted anew beside each encoder member, which had learned
    from them: the first encoder member's part was halved with every generation."""
    lineup = planned(asked_alone)
    of_first = member_weights(asked_alone, lineup, lineup.first)
    for members in lineup.generations[1:]:
        assert members[:-1] == lineup.first
        weights = member_weights(asked_alone, lineup, members)
        ratio = np.array(weights[:-1]) / of_first
        np.testing.assert_allclose(ratio, ratio[0])
        record = read_json(folder_of(asked_alone.folder, members[-1]) / DONE)
        assert weights[-1] == share_of(record["retained"])


def test_an_encoder_is_behind_where_patterns_predict_labeled_rows_clearly_better(
    asked_alone: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineup, labels = planned(asked_alone), asked_alone.labeled.labels
    knows, guesses = 3.0 * np.eye(3)[labels], np.zeros((len(labels), 3))
    guesses[::4] = 0.1
    plain = asked_alone.outcome.plain_scaling(1.0, 3)

    def groups(patterns: Any, encoder: Any) -> None:
        found = weighing._Groups(plain, patterns, encoder, labels)
        monkeypatch.setattr(weighing, "_groups_out_of_fold", lambda *arguments: found)

    groups(knows, guesses)
    assert not is_encoder_behind(asked_alone, lineup), "of four rows a label it is not known"
    monkeypatch.setattr(weighing, "COMPARED_ROWS", 4)
    assert is_encoder_behind(asked_alone, lineup)
    groups(guesses, knows)
    assert not is_encoder_behind(asked_alone, lineup)
    groups(knows, knows)
    assert not is_encoder_behind(asked_alone, lineup)


def test_a_later_encoder_member_that_learned_nothing_changes_nothing(asked_alone: Session) -> None:
    """Films' opinions do not show in embeddings that were made for subjects."""
    lineup = planned(asked_alone)
    members = lineup.generations[1]
    record = folder_of(asked_alone.folder, members[-1]) / DONE
    write_json(record, {**read_json(record), "retained": 0.3})

    def predicted(members: Any) -> Any:
        weights = member_weights(asked_alone, lineup, members)
        scaling = ensemble_scaling(asked_alone, lineup, members, weights)
        return scaling.probabilities(combine(pool_logits(asked_alone, members), weights))

    np.testing.assert_allclose(predicted(members), predicted(lineup.first), atol=1e-3)


def test_a_generation_with_a_later_encoder_member_predicts_no_labeled_row_out_of_fold(
    asked_alone: Session,
) -> None:
    lineup = planned(asked_alone)
    members = lineup.generations[1]
    assert out_of_fold_logits(asked_alone, lineup, lineup.first, [1.0] * 4) is not None
    assert out_of_fold_logits(asked_alone, lineup, members, [1.0] * 5) is None


def test_without_labels_an_encoder_member_counts_as_far_as_it_retains_what_patterns_predict(
    config_for: Configure, model_folder: Any
) -> None:
    config = config_for(
        labeled=None,
        encoder=str(model_folder("bert")),
        generations=1,
        member=TrainingConfig(steps=0),
    )
    label_pool(config)
    session = open_session(config)
    members = planned(session).generations[1]
    record = read_json(folder_of(session.folder, members[-1]) / DONE)
    assert record["retained"] is not None
    assert member_weights(session, planned(session), members)[-1] == share_of(record["retained"])
